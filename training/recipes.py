"""Recipes: the method of a run and its settings, read from YAML. Knows no torch, no store and no trainer.

A recipe is a frozen dataclass; each default is written once, here. A preset (training/recipes/*.yaml) says
only what differs. An unknown key is refused, with the nearest known one.
"""

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from assistant.adapters.families import FAMILIES
from assistant.base import BaseChoice, Quantize
from feedback.errors import HoneError, NotFoundError
from training.methods import METHODS

LOSSES = ("sigmoid", "hinge", "ipo", "robust", "apo_zero", "sigmoid_norm", "sft")
SCHEDULES = ("linear", "cosine", "constant")
ALGORITHMS = ("rloo", "grpo")
METRICS = ("none", "tensorboard", "trackio")
"""Where a run's curves are copied to, beside Hone's own; see training.metrics_copy."""
POSITIVE = (
    *("epochs", "learning_rate", "max_grad_norm", "batch", "accumulation", "reference_batch"),
    *("max_length", "lora_rank", "lora_alpha", "save_every", "virtual_tokens", "bottleneck_size"),
    *("answer_tokens", "temperature", "judge_every"),
)
READ_BY = {
    **dict.fromkeys(("losses", "loss_weights", "label_smoothing"), ("dpo",)),
    "beta": ("dpo", "kto", "rlhf"),
    **dict.fromkeys(("liked_weight", "disliked_weight", "unpair"), ("kto",)),
    "centre": ("reward",),
    **dict.fromkeys(("algorithm", "reward", "answers", "answer_tokens", "temperature"), ("rlhf",)),
    **dict.fromkeys(("cut_off_penalty", "judge_every"), ("rlhf",)),
    **dict.fromkeys(("wording", "calibration_share", "called"), ("classify",)),
}
"""Which methods read a setting that others do not."""
LAYERS = re.compile(r"(first|last)-(\d+)|(\d+(?:,\d+)*)")
"""Some of a model's layers: the last two, the first four, or these by number."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list"}
FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run does, apart from its snapshot and the version it starts from.

    `losses` and `loss_weights` are TRL's names for DPO's terms and their shares (the same length). `beta`
    is DPO's (https://arxiv.org/abs/2305.18290, eq. 7). `max_length` is in tokens, prompt and answer
    together. `save_every` is in optimiser steps. `max_steps` 0 means: as many as `epochs` asks for. `model`
    and `quantize` name the base as `hone serve` does; a base other than the champion's is refused when the
    run starts. `adapt` is a family of changes (assistant/adapters/families.py); `targets` are the modules
    that LoRA and its kin, or IA3's factors, stand at; `layers` is `last-2`, `first-4` or numbers from 0.

    `replay` is the share of the pairs that the champion was trained on before that are trained on again; see
    training.rounds.

    For KTO, `liked_weight` and `disliked_weight` are the paper's lambdas (https://arxiv.org/abs/2402.01306,
    eq. 8), and `unpair` takes the answers of pairs as thumbs as well.

    For reward, `centre` pulls the mean reward of a pair to 0 (https://arxiv.org/abs/2312.09244).

    For rlhf, `beta` is the weight of the KL to the reference; `reward` is `latest`, a head's name, or
    `rule:NAME`; each prompt is answered `answers` times with at most `answer_tokens` tokens at `temperature`.
    An answer that is cut off, or empty, loses `cut_off_penalty` of its reward. Every `judge_every` steps the
    judge is asked; see training.judge. A batch counts answers, not prompts.

    For classify, `wording` is `auto`, a name or a template (training.classify.wording); `calibration_share`
    of the texts, by label, choose the wording and the epoch and fit the temperature; `called` is the
    classifier's name, "" that of its data. `adapt` is `frozen`, `lora` or `full`.

    `metrics`: where the run's curves are copied to as it trains, beside Hone's own: `tensorboard` (files in
    the run's folder) or `trackio`.
    """

    name: str = "custom"
    description: str = ""
    method: str = "dpo"
    model: str = "embedded"
    quantize: str = "auto"
    epochs: float = 1.0
    max_steps: int = 0
    learning_rate: float = 1e-4
    schedule: str = "linear"
    warmup_share: float = 0.0
    max_grad_norm: float = 1.0
    batch: int = 4
    accumulation: int = 2
    reference_batch: int = 8
    max_length: int = 512
    lora_rank: int = 16
    lora_alpha: int = 32
    adapt: str = "lora"
    targets: str = "all-linear"
    virtual_tokens: int = 16
    bottleneck_size: int = 32
    layers: str = "last-2"
    beta: float = 0.1
    losses: tuple[str, ...] = ("sigmoid",)
    loss_weights: tuple[float, ...] = (1.0,)
    label_smoothing: float = 0.0
    liked_weight: float = 1.0
    disliked_weight: float = 1.0
    unpair: bool = False
    centre: float = 0.01
    algorithm: str = "rloo"
    reward: str = "latest"
    answers: int = 4
    answer_tokens: int = 64
    temperature: float = 1.0
    cut_off_penalty: float = 1.0
    judge_every: int = 5
    wording: str = "auto"
    calibration_share: float = 0.15
    called: str = ""
    replay: float = 1.0
    seed: int = 0
    save_every: int = 5
    evaluate: bool = True
    metrics: str = "none"

    @property
    def base(self) -> BaseChoice:
        """The base that it names."""
        return BaseChoice(self.model, cast(Quantize, self.quantize))

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise HoneError(
                f"The recipe {self.name} cannot be used.", complaint, "Correct that setting and try again."
            )


def _complaints(recipe: Recipe) -> list[str]:
    """What is wrong with the values, one sentence each."""
    found = [f"{key} must be above 0." for key in POSITIVE if not getattr(recipe, key) > 0]
    numbers = ((name, value) for name, value in vars(recipe).items() if isinstance(value, float))
    found += [f"{name} must be a finite number." for name, value in numbers if math.isinf(value)]
    if not 0 <= recipe.replay <= 1:
        found.append("replay must lie in [0, 1].")
    if not 0 <= recipe.warmup_share < 1:
        found.append("warmup_share must lie in [0, 1).")
    choices: dict[str, tuple[str, ...]] = {
        "method": tuple(METHODS),
        "schedule": SCHEDULES,
        "algorithm": ALGORITHMS,
        "metrics": METRICS,
    }
    found += [
        f"{key} must be one of {', '.join(allowed)}, not {value!r}.{_meant(value, allowed)}"
        for key, allowed in choices.items()
        if (value := getattr(recipe, key)) not in allowed
    ]
    found += [
        f"{loss!r} is not a loss; known are {', '.join(LOSSES)}.{_meant(loss, LOSSES)}"
        for loss in recipe.losses
        if loss not in LOSSES
    ]
    if not recipe.losses or len(recipe.losses) != len(recipe.loss_weights):
        found.append(f"losses names {len(recipe.losses)} and loss_weights {len(recipe.loss_weights)}.")
    if not 0 <= recipe.label_smoothing < 0.5:
        found.append("label_smoothing, the share of flipped votes, must lie in [0, 0.5).")
    found += _of_adapting(recipe)
    found += _of_methods(recipe)
    if recipe.max_steps < 0:
        found.append("max_steps must be 0 (no limit) or more.")
    return found


def check(recipe: Recipe) -> None:
    """HoneError for settings of DPO or KTO that would train nothing, or something else than they say. Asked
    when a run is made, not when one is read: runs of old may have had them.
    """
    smooths, weights = "robust" in recipe.losses, recipe.loss_weights
    of_dpo = {
        "A weight in loss_weights is below 0, which trains towards the rejected answers.": min(weights) < 0,
        "All loss_weights are 0, so nothing would be trained.": max(weights) == 0,
        "label_smoothing belongs to the loss robust, which losses does not name.": bool(
            recipe.label_smoothing and not smooths
        ),
        "The loss robust needs label_smoothing, the share of votes that are wrong, such as 0.1.": bool(
            smooths and not recipe.label_smoothing
        ),
    }
    of_kto = {
        "liked_weight and disliked_weight are both 0, so nothing would be trained.": not (
            recipe.liked_weight or recipe.disliked_weight
        ),
    }
    found = {"dpo": of_dpo, "kto": of_kto}.get(recipe.method, {})
    for complaint in [one for one, holds in found.items() if holds]:
        raise HoneError(
            f"The recipe {recipe.name} cannot be used.", complaint, "Correct that setting and try again."
        )


def check_read(recipe: Recipe) -> None:
    """HoneError for a setting other than its default that the method does not read. Asked of what a person
    wrote, not when a run is made: one of old may be repeated with it.
    """
    plain = Recipe()
    for key, methods in READ_BY.items():
        if recipe.method not in methods and getattr(recipe, key) != getattr(plain, key):
            raise HoneError(
                f"{recipe.method} does not read the setting {key}.",
                f"It is for {', '.join(methods)}.",
                "Leave it out.",
            )


def _of_adapting(recipe: Recipe) -> list[str]:
    """What is wrong with what it trains of the model."""
    found = []
    allowed = METHODS[recipe.method].adapts if recipe.method in METHODS else ()
    if allowed and recipe.adapt not in allowed:
        found.append(f"{recipe.method} trains by one of {', '.join(allowed)}, not by {recipe.adapt}.")
    elif recipe.adapt not in (allowed or FAMILIES):
        found.append(
            f"adapt must be one of {', '.join(FAMILIES)}, not {recipe.adapt!r}.{qlora(recipe.adapt)}"
        )
    family = FAMILIES.get(recipe.adapt)
    if family and recipe.quantize in ("nf4", "int8") and recipe.quantize not in family.quantised:
        found.append(f"A base in {recipe.quantize} cannot be trained by {recipe.adapt}.")
    if recipe.adapt == "layers" and not LAYERS.fullmatch(recipe.layers):
        found.append(f"layers must be like last-2, first-4 or 0,5,11, not {recipe.layers!r}.")
    return found


def qlora(adapt: str) -> str:
    """Where QLoRA is, which is no family of changes; empty for another name."""
    return " QLoRA is lora on a base in few bits: adapt lora, quantize nf4." if adapt == "qlora" else ""


def _meant(value: str, allowed: tuple[str, ...]) -> str:
    """A question with the nearest of what is allowed; empty where nothing is near."""
    near = difflib.get_close_matches(value, allowed, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _of_methods(recipe: Recipe) -> list[str]:
    """What is wrong with the settings of single methods."""
    found = []
    if recipe.beta < 0 or (recipe.beta == 0 and recipe.method in ("dpo", "kto")):
        found.append("beta must be above 0; for rlhf it may be 0.")
    if min(recipe.liked_weight, recipe.disliked_weight, recipe.centre, recipe.cut_off_penalty) < 0:
        found.append("liked_weight, disliked_weight, centre and cut_off_penalty must be 0 or more.")
    if recipe.method == "kto" and recipe.batch < 2:
        found.append("KTO needs a batch of 2 or more: it measures the KL on answers to each other's prompts.")
    if recipe.method == "rlhf" and (recipe.answers < 2 or recipe.batch % recipe.answers):
        found.append("rlhf needs 2 answers or more for each prompt, and a batch that is a multiple of them.")
    if not 0 < recipe.calibration_share < 1:
        found.append("calibration_share must lie between 0 and 1.")
    if recipe.method == "classify" and (recipe.accumulation > 1 or recipe.epochs != int(recipe.epochs)):
        found.append("classify takes a step at each batch, and whole epochs: accumulation must be 1.")
    return found


def from_mapping(values: Mapping[str, Any], start: Recipe | None = None) -> Recipe:
    """`start` (default: the defaults) with `values` put in. Losses of another number weigh 1 each where no
    weights are given. HoneError for unknown keys and for values of a wrong kind.
    """
    start = start or Recipe()
    known = {field.name: getattr(start, field.name) for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise HoneError(
                f"A recipe has no setting {key!r}.",
                f"Did you mean {near[0]!r}?" if near else "",
                f"Known settings: {', '.join(known)}." if not near else "",
            )
    given = {key: _typed(key, value, known[key]) for key, value in values.items()}
    if "loss_weights" not in given and len(given.get("losses", ())) not in (0, len(start.loss_weights)):
        given["loss_weights"] = (1.0,) * len(given["losses"])
    return dataclasses.replace(start, **given)


def for_family(start: Recipe, adapt: str) -> Recipe:
    """`start` by another family of changes, at the rate that suits it: full fine-tuning bears a tenth of
    LoRA's, a soft prompt wants many times more. HoneError for a family that is not known.
    """
    changed = dataclasses.replace(start, adapt=adapt)
    rates = [FAMILIES[name].rate if name in FAMILIES else 1.0 for name in (adapt, start.adapt)]
    factor = rates[0] / rates[1]  # a frozen trunk has none
    return dataclasses.replace(changed, learning_rate=start.learning_rate * factor)


def _typed(key: str, value: Any, like: Any) -> Any:
    """`value` as the kind of thing that `like` is. YAML reads 1e-4 as text, and a command line reads
    everything so.
    """
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(like, tuple):
            parts = value.strip("[] ").split(",") if isinstance(value, str) else value
            return tuple(
                _typed(key, part.strip() if isinstance(part, str) else part, like[0]) for part in parts
            )
        if isinstance(like, int):
            if float(value) != int(float(value)):
                raise ValueError
            return int(float(value))
        return type(like)(value)
    except (ValueError, TypeError, KeyError) as error:
        raise HoneError(
            f"The setting {key} cannot be {value!r}.",
            f"It must be {KINDS[type(like)]}, such as {like!r}.",
            "Correct it and try again.",
        ) from error


def to_json(recipe: Recipe) -> str:
    """The whole recipe, as the store keeps it with a run."""
    return json.dumps(dataclasses.asdict(recipe), sort_keys=True)


def from_json(text: str) -> Recipe:
    """The inverse of `to_json`, also as it was when there was LoRA alone and `adapt` named its modules."""
    values = json.loads(text)
    if "adapt" in values and "targets" not in values:
        values |= {"adapt": "lora", "targets": values["adapt"]}
    return from_mapping(values)


@cache
def presets() -> dict[str, Recipe]:
    """The shipped recipes by name, in the order of their names."""
    return {file.stem: _read(file) for file in sorted(FOLDER.glob("*.yaml"))}


def load(name_or_file: str) -> Recipe:
    """A preset by name, or a recipe from a YAML file. NotFoundError when it is neither."""
    if name_or_file in presets():
        return presets()[name_or_file]
    if (file := Path(name_or_file)).suffix in (".yaml", ".yml") and file.is_file():
        return _read(file)
    raise NotFoundError(
        f"There is no recipe {name_or_file!r}.",
        f"Presets are {', '.join(presets())}.",
        "Name one of them, or a .yaml file.",
    )


def _read(file: Path) -> Recipe:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HoneError(
            f"The recipe {file.name} is not YAML.", why_no_yaml(error), "Correct the file."
        ) from error
    if not isinstance(values, dict):
        raise HoneError(f"The recipe {file.name} is not a list of settings.", "", "Write `key: value` lines.")
    return from_mapping({"name": file.stem, **values})


def why_no_yaml(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """What is wrong, in one line, and in which line where that is known."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"Line {mark.line + 1}: {problem}." if mark else f"{' '.join(str(error).split())}."
