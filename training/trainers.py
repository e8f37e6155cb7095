"""Training through TRL, with our settings. Imports torch and TRL only when a run trains. Knows no store.

TRL's defaults are for large GPUs. Ours: no gradient checkpointing, the reference's log-probabilities
computed once, adapters in fp32 on the frozen base, batches with nothing to fill up or of like lengths.

The reference of DPO is the version that the run starts from: the base with the adapter switched off; where
the champion has an adapter, TRL's frozen copy of it (named `ref`); where weights themselves are trained, the
model before its first step.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import adaptations, run_order
from training.adaptations import Adapted
from training.crew import ALONE, Crew, in_one_place, put_together
from training.data import Row
from training.order import GroupOrder, LengthOrder
from training.recipes import Recipe
from training.references import References, Scored
from training.watching import COMPLETE, watch

if TYPE_CHECKING:
    from torch import Tensor

    from training.own_changes import OwnChange


@dataclass(frozen=True)
class Hooks:
    """How a run watches its training.

    `on_step(step, total)`, `on_metrics(step, {our name: value})`, `on_reference(pairs read, of all)`,
    `on_size(numbers trained, of all)`, `on_warning(what went wrong without ending the run)`.
    """

    on_step: Callable[[int, int], None]
    on_metrics: Callable[[int, dict[str, float]], None]
    on_reference: Callable[[int, int], None]
    on_size: Callable[[int, int], None] = lambda _trained, _of: None
    on_warning: Callable[[str], None] = lambda _why: None


@dataclass(frozen=True)
class Job:
    """What to train. `start_adapter` is the champion's folder, None when the champion is the base.

    `folder` is the run's own: checkpoints go there, and training goes on from the last complete one.
    `references`: where what the reference says of each answer is kept; None: nowhere. `crew`: the processes
    that train together, of which this is one.
    """

    model: Any
    tokenizer: Any
    rows: Sequence[Row]
    recipe: Recipe
    folder: Path
    start_adapter: Path | None
    device: str
    references: References | None = None
    crew: Crew = ALONE


def settings(recipe: Recipe, folder: Path, device: str, crew: Crew = ALONE) -> dict[str, Any]:
    """Pure: what `recipe` means to TRL, for one of the crew: keyword arguments of the config class. PEFT's
    are `adaptations`'.
    """
    batch, accumulation = run_order.share_of(recipe, crew.processes)
    common: dict[str, Any] = {
        "output_dir": str(folder / "checkpoints"),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup_share,  # below 1 it is a share of all steps
        "max_grad_norm": recipe.max_grad_norm,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "seed": recipe.seed,
        "save_strategy": "steps",
        "save_steps": recipe.save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # else a NaN loss is logged as the last good one
        "use_cpu": device == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device != "cpu",
        "disable_tqdm": True,
        "report_to": "none",
    }
    return common | _of_method(recipe, crew)


def _of_method(recipe: Recipe, crew: Crew) -> dict[str, Any]:
    """What only the recipe's own trainer understands."""
    length = {"max_length": recipe.max_length}
    # A sharded model comes to its devices when training begins, too late to read anything beforehand.
    before = not crew.sharded
    reference = {"precompute_ref_log_probs": before, "precompute_ref_batch_size": recipe.reference_batch}
    if recipe.method == "dpo":
        losses = {"loss_type": list(recipe.losses), "loss_weights": list(recipe.loss_weights)}
        return {
            "beta": recipe.beta,
            "label_smoothing": recipe.label_smoothing,
            **losses,
            **reference,
            **length,
        }
    if recipe.method == "kto":
        weights = {"desirable_weight": recipe.liked_weight, "undesirable_weight": recipe.disliked_weight}
        return {"beta": recipe.beta, **weights, **reference, **length}
    if recipe.method == "reward":
        return {"center_rewards_coefficient": recipe.centre, **length}
    if recipe.method == "rlhf":
        written = {"num_generations": recipe.answers, "max_completion_length": recipe.answer_tokens}
        return {"beta": recipe.beta, "temperature": recipe.temperature, **written}
    return {"completion_only_loss": True, **length}


def train_dpo(job: Job, hooks: Hooks) -> Path:
    """Train on preferences; returns the folder of the finished adapter."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    data = Dataset.from_list(
        [
            {"prompt_ids": r.prompt_ids, "chosen_ids": r.chosen_ids, "rejected_ids": r.rejected_ids}
            for r in job.rows
        ]
    )
    return run(job, hooks, DPOTrainer, DPOConfig, data, by_length(job))


def train_sft(job: Job, hooks: Hooks, measured: Callable[[Any, int, str], None] | None = None) -> Path:
    """Train on chosen answers, the loss on the answer only; returns the folder of the finished adapter.

    `measured(model, step, "before" or "after")` is called as training begins and ends.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {
                "input_ids": [*r.prompt_ids, *r.chosen_ids],
                "completion_mask": [0] * len(r.prompt_ids) + [1] * len(r.chosen_ids),
            }
            for r in job.rows
        ]
    )
    watches = [_ends(measured)] if measured else []
    return run(job, hooks, SFTTrainer, SFTConfig, data, by_length(job), watches)


def train_kto(job: Job, hooks: Hooks) -> Path:
    """Train on answers liked or not, none compared; returns the folder of the finished adapter.

    The KL that an answer's reward is held against is measured on the answers of its batch, each after another
    one's prompt (Ethayarajh et al., 2024, section 4.1). So batches stay together from epoch to epoch, and are
    paired here, before they are divided among processes.
    """
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    size = job.recipe.batch
    rows = run_order.grouped(job.rows, job.recipe, padded=pads(job))
    groups = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    data = Dataset.from_list(
        [
            {
                "prompt_ids": row.prompt_ids,
                "completion_ids": row.chosen_ids,
                "KL_completion_ids": run_order.another(group, place).chosen_ids,
                "label": row.liked,
            }
            for group in groups
            for place, row in enumerate(group)
        ]
    )
    order = GroupOrder(len(groups), size, job.recipe.seed, job.recipe.accumulation)
    return run(job, hooks, KTOTrainer, KTOConfig, data, order)


def by_length(job: Job) -> LengthOrder:
    """The order of what stands for itself, alone or as a pair."""
    return run_order.by_length(job.rows, job.recipe, padded=pads(job))


def pads(job: Job) -> bool:
    """Whether the batches of the run are filled up. A crew that shards its weights fills up all, yet takes
    the same ones: a step has the same examples everywhere.
    """
    from training import shared_prompts

    return run_order.fills_up(job.recipe) or not shared_prompts.packs(job.model)


def run(  # noqa: PLR0913, PLR0917 - what differs between the methods, each once
    job: Job,
    hooks: Hooks,
    trainer_class: Any,
    config_class: Any,
    data: Any,
    order: Any,
    watches: Sequence[Any] = (),
) -> Path:
    """Train with one of TRL's trainers on our tokens; returns the folder of the finished adapter.

    `order`: a sampler; None: TRL's own.
    """
    from transformers import PrinterCallback, set_seed

    set_seed(job.recipe.seed)  # TRL's seed comes after a change of our own has begun at random
    args = config_class(**settings(job.recipe, job.folder, job.device, job.crew))
    ready = adaptations.adapted(job.model, job.recipe, job.start_adapter, len(job.rows))
    trainer = _ours(trainer_class, job, hooks, ready, order)(
        model=ready.model,
        args=args,
        train_dataset=data if job.crew == ALONE else in_one_place(data, args, job.folder),
        processing_class=job.tokenizer,
        peft_config=ready.peft,
    )
    for one in (watch(trainer, job, hooks), *watches):
        trainer.add_callback(one)
    _quicken(trainer.model, job.crew)
    hooks.on_size(*sizes(trainer.model))
    trainer.remove_callback(PrinterCallback)  # our own lines go to the log
    if job.crew.rank == 0:
        drop_incomplete(job.folder / "checkpoints")
    trainer.train(resume_from_checkpoint=last_checkpoint(job.folder))
    if job.crew.sharded:
        return put_together(trainer, job.crew, job.folder / "adapter")
    if job.crew.rank:
        return job.folder / "adapter"  # which the first writes
    return save_adapter(trainer.model, job.folder / "adapter", ready.own)


def sizes(model: Any) -> tuple[int, int]:
    """How many numbers are trained, and how many there are; a byte of 4-bit weights holds two."""
    parts = list(model.parameters())
    sizes = [part.numel() * (2 if type(part).__name__ == "Params4bit" else 1) for part in parts]
    trained = (size for part, size in zip(parts, sizes, strict=True) if part.requires_grad)
    return sum(trained), sum(sizes)


def _quicken(model: Any, crew: Crew) -> None:
    """The same numbers with less work; see the three modules. Twice is once.

    They read weights without calling the module that holds them, which is when a sharded one is gathered:
    there TRL's, PEFT's and transformers' own ways stay.
    """
    from assistant.adapters import quick_lora
    from training import quick_norms, shared_prompts

    if not crew.sharded:
        shared_prompts.install(model)
        quick_lora.install(model)
        quick_norms.install(model)


def save_adapter(model: Any, folder: Path, own: OwnChange | None = None) -> Path:
    """Write what was trained alone (never TRL's `ref`), aside first, then renamed."""
    aside = folder.with_name(folder.name + ".part")
    for old in (aside, folder):
        shutil.rmtree(old, ignore_errors=True)
    adaptations.write(model, own, aside)
    aside.rename(folder)
    return folder


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint of the run that was written to its end; None before the first."""
    found = [p for p in (folder / "checkpoints").glob("checkpoint-*") if (p / COMPLETE).is_file()]
    return str(max(found, key=lambda p: int(p.name.rpartition("-")[2]))) if found else None


def drop_incomplete(folder: Path) -> None:
    """Remove what a killed process left half-written: TRL would count it as one of the two that are kept."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / COMPLETE).is_file():
            shutil.rmtree(checkpoint)


def _ours(trainer_class: Any, job: Job, hooks: Hooks, ready: Adapted, order: Any) -> Any:
    """`trainer_class` on our tokens, in our order."""

    class Ours(trainer_class):
        pairs_read = 0

        def _prepare_dataset(self, dataset: Any, *rest: Any, **named: Any) -> Any:
            # TRL would tokenise prompt and answer as one text, which merges tokens across their border;
            # ours stand apart, as in chat. SFT's own preparation still turns the mask into labels.
            if {"prompt_ids", "chosen_ids"} & set(dataset.column_names):
                return dataset
            return super()._prepare_dataset(dataset, *rest, **named)

        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            if job.crew.sharded:  # at each step
                return super().compute_ref_log_probs(model, inputs)
            _quicken(self.model, job.crew)  # TRL reads the reference before it is done with making itself
            adaptations.complete_reference(self.model)
            found = _remembered(job, inputs, lambda: super(Ours, self).compute_ref_log_probs(model, inputs))
            self.pairs_read += len(found[0]) * job.crew.processes
            hooks.on_reference(min(self.pairs_read, len(job.rows)), len(job.rows))
            return found

        def compute_loss(self, model: Any, *rest: Any, **named: Any) -> Any:
            found = super().compute_loss(model, *rest, **named)
            # Where a batch's loss is its part of the step's, so is this; else the trainer divides.
            parted = named.get("num_items_in_batch") is not None
            return adaptations.with_own_term(
                self.model, found, 1 / self.args.gradient_accumulation_steps if parted else 1.0
            )

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            folder = Path(output_dir or self.args.output_dir)
            if not adaptations.write_checkpoint(self.model, ready.own, folder):
                super()._save(output_dir, state_dict)

        def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
            if not adaptations.read_checkpoint(self.model, ready.own, Path(checkpoint)):
                super()._load_from_checkpoint(checkpoint, model)

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return order or super()._get_train_sampler(train_dataset)

        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            # Else accelerate would take the last batch for a short one, and drop some of its figures.
            if order:
                loader.dataset.total_dataset_length = len(order)
            return loader

    return Ours


def _remembered(job: Job, inputs: Any, compute: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The reference's log-probabilities of a batch, computed where one is not kept: of the chosen and the
    rejected answers, or for KTO of the answers and of each other's.
    """
    import torch

    if job.references is None:
        return compute()
    rows = [
        (ids[real.bool()].tolist(), int((real - answer).sum()))
        for side in ("", "KL_")
        if f"{side}input_ids" in inputs
        for ids, real, answer in zip(
            *(inputs[side + name] for name in ("input_ids", "attention_mask", "completion_mask")), strict=True
        )
    ]
    answers = [Scored(tuple(ids[:prompt]), tuple(ids[prompt:])) for ids, prompt in rows]
    known = job.references.find(answers)
    if known is not None:
        one, other = torch.tensor(known).chunk(2)
        return one, other
    one, other = compute()
    job.references.keep(dict(zip(answers, torch.cat([one, other]).tolist(), strict=True)))
    return one, other


def _ends(measured: Callable[[Any, int, str], None]) -> Any:
    """Calls `measured` at both ends of a training; when one goes on, at its end alone."""
    from transformers import TrainerCallback

    class Ends(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step == 0:
                measured(model, 0, "before")

        def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            measured(model, state.global_step, "after")

    return Ends()
