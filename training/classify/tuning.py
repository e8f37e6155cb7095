"""The trunk trained with its head: LoRA or every weight. Knows no file formats of data and no store.

The head starts from the logistic regression on the untouched trunk, so that its first steps do not undo what
the trunk knows (Kumar et al. 2022, "Fine-tuning can distort pretrained features"). The whole state is kept in
checkpoints, as other runs keep theirs: a killed one goes on from the last complete one, and ends as if it had
not been killed. Several processes take each their part of a batch and add up what it gives, and hold the same
numbers after each step; the first of them writes the checkpoints.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.quiet import quiet
from feedback.errors import HoneError
from training import adaptations, trainers
from training.classify import model as trunks
from training.classify.probe import Head, Labelled, loss_of
from training.crew import ALONE, Crew, add_up, collected
from training.divergence import check_finite
from training.order import LengthOrder
from training.recipes import Recipe

if TYPE_CHECKING:
    from torch import Tensor

STATE = "state.pt"


@dataclass(frozen=True)
class Rows:
    """What is trained on and what chooses the epoch: token ids, and the numbers of their labels."""

    train: Sequence[Sequence[int]]
    train_labels: Tensor
    calibration: Sequence[Sequence[int]]
    calibration_labels: Tensor


@dataclass(frozen=True)
class Task:
    """`dtype`: torch's name of the numbers that the base computes in. `folder`: where checkpoints lie.
    `crew`: the processes that train together, of which this is one.
    """

    rows: Rows
    recipe: Recipe
    dtype: str
    folder: Path
    crew: Crew = ALONE


@dataclass(frozen=True)
class Hooks:
    """How whoever started it watches: `on_step(steps done, of all)`, `on_metrics(step, {name: value})`,
    `on_size(numbers trained, of all)`, and `say`, a sentence. `fits(rows)` raises HoneError where there is
    not the memory to train on rows of these token ids.
    """

    on_step: Callable[[int, int], None]
    on_metrics: Callable[[int, dict[str, float]], None]
    say: Callable[[str], None]
    on_size: Callable[[int, int], None] = lambda _trained, _of: None
    fits: Callable[[Sequence[Sequence[int]]], None] = lambda _rows: None


@dataclass(frozen=True)
class Tuned:
    """The head of the best epoch, counted from 1; the model holds that epoch's weights. `steps`: taken."""

    head: Head
    epoch: int
    steps: int


def adapted(model: Any, recipe: Recipe) -> Any:
    """`model` with what `recipe.adapt` trains set free, and all else frozen. An adapter that it starts with
    goes on with its own rank, or becomes part of the weights.
    """
    if recipe.adapt == "full":
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
        torch.manual_seed(recipe.seed)
        config = LoraConfig(task_type="CAUSAL_LM", **adaptations.peft_settings(recipe, 0))
        with quiet():
            model = get_peft_model(model, config)
    quick_lora.install(model)
    return model


def tune(model: Any, start: Head, task: Task, hooks: Hooks) -> Tuned:
    """Train `model`, made by `adapted`, and its head; leave in it the weights of the epoch with the least
    loss on the calibration part. HoneError when the loss is no number any more.
    """
    state, writes = _State(model, start, task), task.crew.rank == 0
    trained, whole = trainers.sizes(model)
    head = state.weight.numel() + state.bias.numel()
    hooks.on_size(trained + head, whole + head)
    if writes:
        trainers.drop_incomplete(state.checkpoints)
    if (last := trainers.last_checkpoint(task.folder)) is not None:
        hooks.say(f"Going on from {Path(last).name}.")
        state.resume(Path(last))
    hooks.on_step(state.step, state.total)
    while state.step < state.total:
        told = _step(state)
        hooks.on_step(state.step, state.total)
        hooks.on_metrics(state.step, told)
        ends = state.step % state.steps_an_epoch == 0 or state.step == state.total
        if ends:
            hooks.on_metrics(state.step, _epoch_ended(state))
        if writes and (ends or state.step % task.recipe.save_every == 0):
            state.save()
    return state.best_back()


def best_of(model: Any, start: Head, task: Task) -> Tuned:
    """What a training came to that others have ended, as `tune` leaves it: from its last checkpoint."""
    state = _State(model, start, task)
    state.resume(Path(str(trainers.last_checkpoint(task.folder))))
    return state.best_back()


def _step(state: _State) -> dict[str, float]:
    """One batch, of texts of like length; returns its figures."""
    import torch

    recipe, crew = state.task.recipe, state.task.crew
    # Whatever came before: a kill changes nothing. Another seed in each process, for their texts are others.
    torch.manual_seed((recipe.seed * 1_000_003 + state.step) * crew.processes + crew.rank)
    batch = state.batch()
    loss = _part_learnt(state, crew.part(batch), len(batch))
    if crew.processes > 1:
        add_up([loss, *state.gradients()], crew)
    norm = float(torch.nn.utils.clip_grad_norm_(state.trained, recipe.max_grad_norm))
    told = {"loss": float(loss), "grad_norm": norm}
    check_finite(state.step + 1, told, "Lower learning_rate and start again.")
    rate = recipe.learning_rate * rate_share(recipe, state.step, state.total)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.optimiser.step()
    state.optimiser.zero_grad()
    state.step += 1
    return told | {"learning_rate": rate}


def _part_learnt(state: _State, part: Sequence[int], of: int) -> Tensor:
    """What the texts of this process, if it has any, add to the mean loss of a batch of `of`; their gradients
    are left with the weights.
    """
    import torch
    from torch.nn import functional

    rows = state.task.rows
    if not part:
        return torch.zeros((), device=state.weight.device)
    state.model.train()
    with _cast(state):
        states = trunks.last_states(state.model, [rows.train[at] for at in part])
    logits = states.to(state.weight.device) @ state.weight.T + state.bias
    labels = rows.train_labels[part].to(logits.device)
    loss = functional.cross_entropy(logits, labels, reduction="sum") / of
    loss.backward()
    return loss.detach()


def _epoch_ended(state: _State) -> dict[str, float]:
    """Measure on the calibration part, and keep a copy of what is trained if it is the best so far."""
    found = Labelled(_calibration_states(state), state.task.rows.calibration_labels)
    told = calibration_figures(state.as_head(), found)
    state.keep_if_best(told["calibration_loss"])
    return told


def _calibration_states(state: _State) -> Tensor:
    """(N, width) on the CPU, in the order of the part. Each process reads some, and is told the others', so
    that all judge an epoch by the same numbers.
    """
    import torch

    texts, crew = state.task.rows.calibration, state.task.crew
    return torch.stack(collected(crew, list(trunks.all_states(state.model, crew.part(texts)))))


def calibration_figures(head: Head, found: Labelled) -> dict[str, float]:
    """How well a head does on the part that chooses: nats a text, and the share of texts put right."""
    right = head.logits(found.states).argmax(1) == found.labels
    return {"calibration_loss": loss_of(head, found), "calibration_accuracy": float(right.float().mean())}


def rate_share(recipe: Recipe, step: int, total: int) -> float:
    """Of the highest rate, at a step counted from 0: up in a line, then as the schedule says."""
    warm = max(1, round(recipe.warmup_share * total))
    if step < warm:
        return (step + 1) / warm
    left = max(0.0, (total - step) / max(1, total - warm))
    return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}[recipe.schedule]


def _cast(state: _State) -> Any:
    """Products in the base's 16 bits, where it has them, over weights that are all trained in 32. A LoRA
    needs none, and `quick_lora` leaves to PEFT what is computed so.
    """
    import torch

    place = next(state.model.parameters()).device.type
    dtype = getattr(torch, state.task.dtype)
    cast = state.task.recipe.adapt == "full" and dtype != torch.float32
    return torch.autocast(place, dtype if cast else torch.bfloat16, cast)


class _State:
    """Everything that changes while a classifier is trained, and its file."""

    def __init__(self, model: Any, start: Head, task: Task) -> None:
        import torch

        recipe = task.recipe
        self.model, self.task = model, task
        self.checkpoints = task.folder / "checkpoints"
        device = next(model.parameters()).device
        self.weight = start.weight.clone().to(device).requires_grad_(True)
        self.bias = start.bias.clone().to(device).requires_grad_(True)
        self.trained = [part for part in model.parameters() if part.requires_grad] + [self.weight, self.bias]
        self.optimiser = torch.optim.AdamW(self.trained, lr=recipe.learning_rate, weight_decay=0.0)
        self.steps_an_epoch = -(-len(task.rows.train) // recipe.batch)
        whole = self.steps_an_epoch * int(recipe.epochs)
        self.total = min(whole, recipe.max_steps or whole)
        self.sampler = LengthOrder([len(row) for row in task.rows.train], recipe.batch, recipe.seed)
        self.order: list[int] = []
        self.step, self.best_epoch = 0, 0
        self.best_loss = float("inf")
        self.best: list[Tensor] = []

    def batch(self) -> list[int]:
        """The places of the texts that the next step learns from."""
        epoch, number = divmod(self.step, self.steps_an_epoch)
        size = self.task.recipe.batch
        if not self.order or self.sampler.epoch != epoch:
            self.sampler.set_epoch(epoch)
            self.order = list(self.sampler)
        return self.order[number * size : (number + 1) * size]

    def gradients(self) -> list[Tensor]:
        """Of all that is trained, zeros where a part of a batch gave none."""
        import torch

        for part in self.trained:
            if part.grad is None:
                part.grad = torch.zeros_like(part)
        return [part.grad for part in self.trained]

    def as_head(self) -> Head:
        return Head(self.weight.detach().cpu(), self.bias.detach().cpu(), 0.0)

    def keep_if_best(self, loss: float) -> None:
        """Keep a copy of what is trained if this epoch is the best so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, -(-self.step // self.steps_an_epoch)
            self.best = [part.detach().cpu().clone() for part in self.trained]

    def best_back(self) -> Tuned:
        """Put the best epoch's weights in place."""
        self._put(self.best)
        self.model.eval()
        return Tuned(self.as_head(), self.best_epoch, self.step)

    def _put(self, values: Sequence[Tensor]) -> None:
        import torch

        with torch.no_grad():
            for part, value in zip(self.trained, values, strict=True):
                part.copy_(value)

    def save(self) -> None:
        """A checkpoint of its own, in which the last word is that it is complete; then those before it go."""
        import torch

        folder = self.checkpoints / f"checkpoint-{self.step}"
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "trained": [part.detach() for part in self.trained],
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "numbers": [self.step, self.best_epoch, self.best_loss],
        }
        with (folder / STATE).open("wb") as opened:
            torch.save(told, opened)
            opened.flush()
            os.fsync(opened.fileno())
        (folder / trainers.COMPLETE).touch()
        for old in self.checkpoints.glob("checkpoint-*"):
            if old != folder:
                shutil.rmtree(old)

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        import torch

        told = torch.load(folder / STATE, weights_only=True)
        self._put(told["trained"])
        self.optimiser.load_state_dict(told["optimiser"])
        self.best = told["best"]
        self.step, self.best_epoch, self.best_loss = told["numbers"]
