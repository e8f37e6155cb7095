"""From a recipe's `adapt` to a model that trains by it, and from what was trained to a version's folder.

LoRA and its kin, IA3 and soft prompts are PEFT's; what it has no family for is `own_changes.py`. Imports
torch and PEFT only when a run trains. Knows no trainer and no store.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.adapters import stored
from assistant.adapters.families import FAMILIES
from assistant.base import Base
from feedback.errors import HoneError
from training.recipes import Recipe

if TYPE_CHECKING:
    from training.own_changes import OwnChange


@dataclass(frozen=True)
class Adapted:
    """A model ready for TRL: `peft` is what it must still be wrapped in, `own` what trains without PEFT."""

    model: Any
    peft: Any | None = None
    own: OwnChange | None = None


def base_for(recipe: Recipe, base: Base) -> Base:
    """The base as this recipe's run must load it. HoneError when it cannot be trained so."""
    family = FAMILIES[recipe.adapt]
    if base.quantization != "none" and base.quantization not in family.quantised:
        able = ", ".join(one.name for one in FAMILIES.values() if base.quantization in one.quantised)
        raise HoneError(
            f"{base.title} cannot be trained by {family.name}.",
            f"Its weights are in {base.quantization}, beside which this family is not computed.",
            f"Choose one of {able}, or --quantize none.",
        )
    # Adam's steps on whole weights are smaller than 16 bits can hold.
    return dataclasses.replace(base, dtype="float32") if family.name == "full" else base


def check_start(recipe: Recipe, folder: Path, champion: str) -> None:
    """HoneError when the champion's own change is of another family than the recipe asks for."""
    family = stored.read(folder).family
    if family != recipe.adapt and not _kept_alike(recipe.adapt, family):
        raise HoneError(
            f"Training cannot go on from {champion} by {recipe.adapt}.",
            f"It was adapted by {family}, and a version has one adapter.",
            f"Add --adapt {family}, or roll back to the base first.",
        )


def _kept_alike(wanted: str, family: str) -> bool:
    """Whether a run by `wanted` leaves a version that is kept as `family`."""
    return (wanted, family) in (("adalora", "lora"), ("p-tuning", "prompt"))


def adapted(model: Any, recipe: Recipe, start: Path | None, examples: int) -> Adapted:
    """`model` as it must be given to TRL. `start`: the champion's folder; its rank, targets, sizes stand."""
    family = FAMILIES[recipe.adapt if start is None else stored.read(start).family]
    try:
        if family.kept_as in ("weights", "bottleneck"):
            return Adapted(model, own=_own(model, recipe, family.name, start))
        if start is None:
            return Adapted(model, peft=_peft_config(recipe, steps(recipe, examples)))
        if family.kind == "soft prompt":
            return Adapted(_soft_prompt_again(model, start))
        from peft import PeftModel

        return Adapted(PeftModel.from_pretrained(model, str(start), is_trainable=True))
    except ValueError as error:
        raise HoneError(
            f"This model cannot be adapted by {family.name}.", f"{error}", "Choose another --adapt."
        ) from error


def _soft_prompt_again(model: Any, start: Path) -> Any:
    """The model with a kept soft prompt, trainable: PEFT loads one for serving alone."""
    import torch
    from peft import PeftConfig, get_peft_model
    from safetensors.torch import load_file

    config = PeftConfig.from_pretrained(str(start))
    config.inference_mode = False
    found = get_peft_model(model, config)
    with torch.no_grad():
        learnt = load_file(start / stored.TENSORS)["prompt_embeddings"]
        found.prompt_encoder["default"].embedding.weight.copy_(learnt)
    return found


def _own(model: Any, recipe: Recipe, family: str, start: Path | None) -> OwnChange:
    from training import own_changes

    if start is None:
        layers, size = recipe.layers, recipe.bottleneck_size
    else:
        layers, size = _sizes(start)
    if family == "bottleneck":
        change = own_changes.of_bottlenecks(model, size)
    else:
        change = own_changes.of_weights(model, family, layers)
    if start is not None:
        change.read(start)
    return change


def _sizes(start: Path) -> tuple[str, int]:
    """Which layers, and bottlenecks of which size, a folder holds."""
    from assistant.tensor_files import TensorFiles

    names = list(TensorFiles([start / stored.TENSORS]))
    numbers = sorted({int(part) for name in names for part in name.split(".") if part.isdigit()})
    downs = [name for name in names if name.endswith(".down.bias")]
    size = len(TensorFiles([start / stored.TENSORS]).raw(downs[0])) if downs else 0
    return ",".join(map(str, numbers)), size


def steps(recipe: Recipe, examples: int) -> int:
    """Optimiser steps of a run, as the trainer counts them."""
    an_epoch = max(1, math.ceil(math.ceil(examples / recipe.batch) / recipe.accumulation))
    return recipe.max_steps or math.ceil(recipe.epochs * an_epoch)


def peft_settings(recipe: Recipe, total_steps: int) -> dict[str, Any]:
    """Pure: the arguments of PEFT's config class for this recipe's family; none for our own families."""
    family = FAMILIES[recipe.adapt]
    targets = recipe.targets if recipe.targets == "all-linear" else recipe.targets.split(",")
    if family.kind == "reparameterised":
        lora: dict[str, Any] = {"target_modules": targets}
        if family.name == "adalora":
            from training import adalora

            return lora | adalora.schedule(recipe.lora_rank, recipe.lora_alpha, total_steps)
        lora |= {"r": recipe.lora_rank, "lora_alpha": recipe.lora_alpha}
        return lora | {"use_dora": family.name == "dora", "use_rslora": family.name == "rslora"}
    if family.name == "ia3":
        # Keys, values and the inner activations are the paper's, and PEFT knows them by architecture.
        return (
            {} if recipe.targets == "all-linear" else {"target_modules": targets, "feedforward_modules": []}
        )
    if family.kind == "soft prompt":
        # Lester et al. 2021, section 3.2: embeddings of the vocabulary begin better than random numbers.
        begin = {"prompt_tuning_init": "SAMPLE_VOCAB"} if family.name == "prompt" else {}
        begin |= {"init_weights": "zero"} if family.name == "prefix" else {}
        return {"num_virtual_tokens": recipe.virtual_tokens, **begin}
    return {}


def _peft_config(recipe: Recipe, total_steps: int) -> Any:
    import peft

    kinds = {
        "lora": peft.LoraConfig, "rslora": peft.LoraConfig, "dora": peft.LoraConfig,
        "adalora": peft.AdaLoraConfig, "ia3": peft.IA3Config, "prompt": peft.PromptTuningConfig,
        "p-tuning": peft.PromptEncoderConfig, "prefix": peft.PrefixTuningConfig,
    }  # fmt: skip
    task = "SEQ_CLS" if recipe.method == "reward" else "CAUSAL_LM"
    return kinds[recipe.adapt](task_type=task, **peft_settings(recipe, total_steps))


def complete_reference(model: Any) -> None:
    """TRL copies the adapter that training goes on from to its reference, but only tensors with the adapter's
    name inside theirs; IA3's end with it. The rest is copied here, before the first step. Twice is once.
    """
    if "ref" not in getattr(model, "peft_config", {}):
        return
    known = dict(model.named_parameters())
    for name, parameter in known.items():
        if name.endswith(".default"):
            known[f"{name.removesuffix('default')}ref"].data.copy_(parameter.data)


def after_step(model: Any, step: int) -> None:
    """What a family does once an optimiser step is taken, with its gradients still there."""
    from training import adalora

    if adalora.is_one(model):
        adalora.allocate(model, step)


def with_own_term(model: Any, loss: Any, share: float) -> Any:
    """The loss, alone or as (loss, outputs), with the term that a family adds to it, of which each batch of a
    step carries this `share`.
    """
    from training import adalora

    if not adalora.is_one(model):
        return loss
    term = share * adalora.WEIGHT * adalora.orthogonality(model)
    return (loss[0] + term, *loss[1:]) if isinstance(loss, tuple) else loss + term


def write_checkpoint(model: Any, own: OwnChange | None, folder: Path) -> bool:
    """Keep what is trained in a checkpoint; False where the trainer's own way is right."""
    from training import adalora

    if own is not None:  # the trainer would write the whole base
        own.write(folder)
    elif adalora.is_one(model):
        adalora.write_checkpoint(model, folder)
    else:
        return False
    return True


def read_checkpoint(model: Any, own: OwnChange | None, folder: Path) -> bool:
    """The inverse of `write_checkpoint`."""
    from training import adalora

    if own is not None:
        own.read(folder)
    elif adalora.is_one(model):
        adalora.read_checkpoint(model, folder)
    else:
        return False
    return True


def write(model: Any, own: OwnChange | None, folder: Path) -> None:
    """What was trained, as a version keeps it."""
    if own is not None:
        own.write(folder)
        return
    from training import adalora

    if adalora.is_one(model):
        adalora.write_as_lora(model, folder)
        return
    model.save_pretrained(str(folder), selected_adapters=["default"])
    if str(model.peft_config["default"].peft_type.value) == "P_TUNING":
        _as_soft_prompt(folder)


def _as_soft_prompt(folder: Path) -> None:
    """What a P-tuning's encoder came to say is a soft prompt; PEFT saves nothing else of it."""
    file = folder / stored.CONFIG
    config = json.loads(file.read_text("utf-8"))
    known = ("base_model_name_or_path", "inference_mode", "num_attention_heads", "num_layers", "task_type",
             "num_transformer_submodules", "num_virtual_tokens", "peft_version", "token_dim")  # fmt: skip
    kept = {key: config.get(key) for key in known}
    file.write_text(json.dumps({"peft_type": "PROMPT_TUNING", **kept}, indent=1), encoding="utf-8")
