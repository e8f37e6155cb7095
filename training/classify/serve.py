"""A classifier that answers: labels and probabilities for texts, put as they were in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from assistant import base as bases
from assistant.base import Base, BaseChoice
from feedback.errors import HoneError
from feedback.home import Home
from training.classify import heads, measure
from training.classify import model as trunks
from training.classify.heads import HeadInfo
from training.classify.probe import Head
from training.classify.wording import Reading, rows


@dataclass(frozen=True)
class Guess:
    """What a text was found to be. `shares`: the probability of each label, in the classifier's order."""

    text: str
    label: str
    probability: float
    shares: dict[str, float]
    was_cut: bool


@dataclass(frozen=True)
class Classifier:
    """A trunk in memory, its head, and how texts are put to it."""

    info: HeadInfo
    model: Any
    head: Head
    reading: Reading

    def classify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess a text, in their order. HoneError for an empty text."""
        if not texts:
            return []
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise HoneError(f"Text {number} is empty.", "", "Give some words.")
        stripped = [text.strip() for text in texts]  # as the data of training were
        found = measure.probabilities(self.logits(stripped), self.info.temperature)
        return [self._guess(text, shares) for text, shares in zip(stripped, found, strict=True)]

    def logits(self, texts: Sequence[str]) -> measure.Floats:
        """(N, K): what the head says of each text, before the temperature."""
        states = trunks.all_states(self.model, rows(self.reading, texts))
        found: measure.Floats = self.head.logits(states).double().numpy()
        return found

    def _guess(self, text: str, shares: measure.Floats) -> Guess:
        at = int(shares.argmax())
        named = {label: float(share) for label, share in zip(self.info.labels, shares, strict=True)}
        return Guess(text, self.info.labels[at], float(shares[at]), named, self.reading.is_cut(text))


def load(home: Home, info: HeadInfo) -> Classifier:
    """Open a classifier of this home. HoneError: damaged files, or another base than it was trained on."""
    folder = heads.folder_of_all(home) / info.name
    heads.check_files(folder)
    base = bases.resolve(home, BaseChoice(info.model, cast(bases.Quantize, info.quantize)))
    return load_from(folder, info, base)


def load_from(folder: Path, info: HeadInfo, base: Base) -> Classifier:
    """As `load`, from any folder whose files are known to be whole."""
    from safetensors.torch import load_file

    template = bases.chat_template(base)
    if base.id != info.base_id:
        raise HoneError(
            f"The classifier {info.name} does not fit {base.title}.",
            f"It stands on {info.base_id}; this is {base.id}.",
            "Bring back the base it was trained on, or train it again.",
        )
    if info.wording.as_chat and template.sha256 != info.chat_template_sha256:
        raise HoneError(
            f"The classifier {info.name} was trained with another chat template than this base has now.",
            "What is trained must be what is served.",
            "Train it again.",
        )
    adapter = folder / heads.ADAPTER
    model = trunks.load(base, adapter if adapter.is_dir() else None)
    if (trunk := folder / heads.TRUNK).is_file():
        trunks.causal_of(model).base_model.load_state_dict(load_file(trunk))
    told = load_file(folder / heads.HEAD)
    head = Head(told["weight"], told["bias"], 0.0)
    reading = Reading(info.wording, info.labels, template, bases.load_tokenizer(base), info.max_length)
    return Classifier(info, model, head, reading)
