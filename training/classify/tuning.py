"""The trunk trained with its head: LoRA or every weight, an epoch at a time. Knows no file formats of data.

The head starts from the logistic regression on the untouched trunk, so that its first steps do not undo what
the trunk knows (Kumar et al. 2022, "Fine-tuning can distort pretrained features"). After each epoch the whole
state is written aside and renamed: a killed run goes on from the last whole epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.quiet import quiet
from feedback.errors import HoneError
from training.classify import model as trunks
from training.classify.probe import Head, Labelled, loss_of
from training.classify.settings import Settings
from training.divergence import check_finite
from training.order import LengthOrder

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint.pt"
MAX_GRAD_NORM = 1.0
WARMUP_SHARE = 0.1


@dataclass(frozen=True)
class Rows:
    """What is trained on and what chooses the epoch: token ids, and the numbers of their labels."""

    train: Sequence[Sequence[int]]
    train_labels: Tensor
    calibration: Sequence[Sequence[int]]
    calibration_labels: Tensor


@dataclass(frozen=True)
class Task:
    """`dtype`: torch's name of the numbers that the base computes in. `folder`: where the checkpoint lies."""

    rows: Rows
    settings: Settings
    dtype: str
    folder: Path


@dataclass(frozen=True)
class Hooks:
    """How whoever started it watches: `on_step(steps done, of all)`, `on_metrics(step, {name: value})`, and
    `say`, a sentence.
    """

    on_step: Callable[[int, int], None]
    on_metrics: Callable[[int, dict[str, float]], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Tuned:
    """The head of the best epoch, counted from 1; the model holds that epoch's weights. 0: none was better
    than the start.
    """

    head: Head
    epoch: int


def adapted(model: Any, settings: Settings) -> Any:
    """`model` with what `settings.adapt` trains set free, and all else frozen. An adapter that it starts with
    goes on with its own rank, or becomes part of the weights.
    """
    if settings.adapt == "full":
        if getattr(trunks.causal_of(model), "is_quantized", False):
            raise HoneError(
                "Quantised weights cannot be trained.",
                "A step would be lost in their rounding.",
                "Train with --adapt lora, or with --quantize none.",
            )
        # Steps are smaller than the rounding of 16 bits; products are computed in them all the same: `_cast`.
        whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        whole.float().requires_grad_(False)
        trunks.causal_of(whole).base_model.requires_grad_(True)
        return whole
    import torch
    from peft import LoraConfig, get_peft_model

    from assistant.adapters import quick_lora

    if not hasattr(model, "peft_config"):
        torch.manual_seed(settings.seed)
        config = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with quiet():
            model = get_peft_model(model, config)
    quick_lora.install(model)
    return model


def tune(model: Any, start: Head, task: Task, hooks: Hooks) -> Tuned:
    """Train `model`, made by `adapted`, and its head; leave in it the weights of the epoch with the least
    loss on the calibration part. HoneError when the loss is no number any more.
    """
    import torch

    state = _State(model, start, task)
    state.resume(task.folder / CHECKPOINT)
    hooks.on_step(state.epoch * state.steps_an_epoch, state.total)
    while state.epoch < task.settings.epochs:
        torch.manual_seed(task.settings.seed + state.epoch)
        _epoch(state, hooks)
        states = trunks.all_states(model, task.rows.calibration)
        found = loss_of(state.as_head(), Labelled(states, task.rows.calibration_labels))
        state.epoch_ended(found)
        hooks.on_metrics(state.epoch * state.steps_an_epoch, {"calibration_loss": found})
        state.save(task.folder / CHECKPOINT)
    return state.best_back()


def _epoch(state: _State, hooks: Hooks) -> None:
    """One pass over the training part, in batches of like length."""
    import torch
    from torch.nn import functional

    rows, settings = state.task.rows, state.task.settings
    size = settings.batch
    sampler = LengthOrder([len(row) for row in rows.train], size, settings.seed)
    sampler.set_epoch(state.epoch)
    order = list(sampler)
    state.model.train()
    for number in range(state.steps_an_epoch):
        batch = order[number * size : (number + 1) * size]
        step = state.epoch * state.steps_an_epoch + number
        with _cast(state):
            states = trunks.last_states(state.model, [rows.train[at] for at in batch])
        logits = states.to(state.weight.device) @ state.weight.T + state.bias
        loss = functional.cross_entropy(logits, rows.train_labels[batch].to(logits.device))
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(state.trained, MAX_GRAD_NORM))
        told = {"loss": float(loss.detach()), "grad_norm": norm}
        check_finite(step + 1, told, "Lower --learning-rate and start again.")
        for group in state.optimiser.param_groups:
            group["lr"] = settings.rate * _share(step, state.total)
        state.optimiser.step()
        state.optimiser.zero_grad()
        hooks.on_step(step + 1, state.total)
        hooks.on_metrics(step + 1, told)


def _share(step: int, total: int) -> float:
    """Of the highest rate: up in a line, then down in a line to nothing."""
    warm = max(1, round(WARMUP_SHARE * total))
    return (step + 1) / warm if step < warm else max(0.0, (total - step) / max(1, total - warm))


def _cast(state: _State) -> Any:
    """Products in the base's 16 bits, where it has them, over weights that are trained in 32."""
    import torch

    place = next(state.model.parameters()).device.type
    dtype = getattr(torch, state.task.dtype)
    return torch.autocast(place, torch.bfloat16 if dtype == torch.float32 else dtype, dtype != torch.float32)


class _State:
    """Everything that changes while a classifier is trained, and its file."""

    def __init__(self, model: Any, start: Head, task: Task) -> None:
        import torch

        self.model, self.task = model, task
        device = next(model.parameters()).device
        self.weight = start.weight.clone().to(device).requires_grad_(True)
        self.bias = start.bias.clone().to(device).requires_grad_(True)
        self.trained = [part for part in model.parameters() if part.requires_grad] + [self.weight, self.bias]
        self.optimiser = torch.optim.AdamW(self.trained, lr=task.settings.rate, weight_decay=0.0)
        self.steps_an_epoch = -(-len(task.rows.train) // task.settings.batch)
        self.total = self.steps_an_epoch * task.settings.epochs
        self.epoch, self.best_epoch = 0, 0
        self.best_loss = float("inf")
        self.best: list[Tensor] = []

    def as_head(self) -> Head:
        return Head(self.weight.detach().cpu(), self.bias.detach().cpu(), 0.0)

    def epoch_ended(self, loss: float) -> None:
        """Keep a copy of what is trained if this epoch is the best so far."""
        self.epoch += 1
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best = [part.detach().cpu().clone() for part in self.trained]

    def best_back(self) -> Tuned:
        """Put the best epoch's weights in place."""
        self._put(self.best)
        self.model.eval()
        return Tuned(self.as_head(), self.best_epoch)

    def _put(self, values: Sequence[Tensor]) -> None:
        import torch

        with torch.no_grad():
            for part, value in zip(self.trained, values, strict=True):
                part.copy_(value)

    def save(self, file: Path) -> None:
        import torch

        aside = file.with_name(f".{file.name}")
        told = {
            "trained": [part.detach() for part in self.trained],
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "numbers": [self.epoch, self.best_epoch, self.best_loss],
        }
        with aside.open("wb") as opened:
            torch.save(told, opened)
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(file)

    def resume(self, file: Path) -> None:
        """Go on from `file` where there is one."""
        import torch

        if not file.is_file():
            return
        told = torch.load(file, weights_only=True)
        self._put(told["trained"])
        self.optimiser.load_state_dict(told["optimiser"])
        self.best = told["best"]
        self.epoch, self.best_epoch, self.best_loss = told["numbers"]
