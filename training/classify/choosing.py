"""Which wording suits the trunk and the data: a head on the untouched trunk for each, compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feedback.datasets import Example
from training.classify import model as trunks
from training.classify import probe
from training.classify.data import Split
from training.classify.probe import Head, Labelled
from training.classify.wording import Reading, Wording, rows, with_wording

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = 400
"""Training texts that each wording is tried on."""


@dataclass(frozen=True)
class Choice:
    """The wording, the head it was chosen with, and the loss of each wording in nats a text."""

    wording: Wording
    head: Head
    losses: dict[str, float]

    @property
    def sentence(self) -> str:
        if len(self.losses) == 1:
            return f"Texts are put as {self.wording.name}: {self.wording.question!r}."
        told = ", ".join(f"{name} {loss:.3f}" for name, loss in self.losses.items())
        return (
            f"Texts are put as {self.wording.name}: {self.wording.question!r}, the least loss on the "
            f"calibration part with a frozen trunk ({told})."
        )


def choose(
    model: Any, reading: Reading, options: Sequence[Wording], split: Split, say: Callable[[str], None]
) -> Choice:
    """The option with the least calibration loss. `reading`'s own wording does not matter."""
    learnt = sorted(split.train, key=lambda example: _hashed(example.text))[:SAMPLE]
    tried: list[tuple[float, Wording, Head]] = []
    for option in options:
        put = with_wording(reading, option)
        train, held_out = (labelled(model, put, part, say) for part in (learnt, split.calibration))
        head = probe.best(train, held_out, len(reading.labels))
        tried.append((probe.loss_of(head, held_out), option, head))
        if len(options) > 1:
            say(f"wording {option.name}: loss {tried[-1][0]:.3f} on {len(split.calibration)} texts")
    _, wording, head = min(tried, key=lambda one: one[0])
    return Choice(wording, head, {option.name: loss for loss, option, _ in tried})


def labelled(
    model: Any, reading: Reading, examples: Sequence[Example], say: Callable[[str], None]
) -> Labelled:
    """The states of examples, and the numbers of their labels."""
    last = 0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if done * 4 // total > last:
            last = done * 4 // total
            say(f"{reading.wording.name}: {done} of {total} texts read")

    states = trunks.all_states(model, rows(reading, [one.text for one in examples]), progress)
    return Labelled(states, numbers(examples, reading.labels))


def numbers(examples: Sequence[Example], labels: Sequence[str]) -> Tensor:
    """(N,): the place of each example's label."""
    import torch

    place = {label: at for at, label in enumerate(labels)}
    return torch.tensor([place[example.label] for example in examples], dtype=torch.long)


def _hashed(text: str) -> bytes:
    """Another order than the split's, whose last texts would be the sample."""
    return hashlib.sha256(b"sample " + text.encode("utf-8", "surrogatepass")).digest()
