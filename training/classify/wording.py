"""How a text is put to the model before the head reads its last token: the same way in training and serving.

Knows templates and a tokenizer; no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from feedback.errors import HoneError
from prompts.chat import ChatMessage, ChatTemplate, neutral
from prompts.evaluation import texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AUTO = "auto"
MOST_LABELS_NAMED = 10
"""A question that lists more would be longer than what it asks about."""
SPARE = 8
"""Tokens by which a text that was cut may grow when its edges meet the template."""


@dataclass(frozen=True)
class Wording:
    """`question`: Jinja over `text` and `labels` (their names, with commas). `as_chat`: it is a message of a
    person, and the model is about to answer.
    """

    name: str
    question: str
    as_chat: bool


def candidates(asked: str, labels: int) -> tuple[Wording, ...]:
    """The ways that are compared. `asked`: how the data's format asks; "": as suits any labels."""
    if not asked:
        which = (
            "Which of these fits the text: {{ labels }}?" if labels <= MOST_LABELS_NAMED else "What is this?"
        )
        asked = which + "\n\nText: {{ text }}"
    return (
        Wording("plain", "{{ text }}", False),
        Wording("asked", asked + "\nAnswer:", False),
        Wording("chat", asked, True),
    )


def chosen(named: str, asked: str, labels: int) -> tuple[Wording, ...]:
    """What `--wording` stands for: for `auto` all candidates, else one by name, or a template given."""
    known = candidates(asked, labels)
    if named == AUTO:
        return known
    if found := [one for one in known if one.name == named]:
        return tuple(found)
    if "text" not in texts.fields(named):
        raise HoneError(
            f"{named!r} is no wording.",
            f"Known are {', '.join((AUTO, *(one.name for one in known)))}, or your template.",
            "A template has {{ text }}, as in --wording 'Review: {{ text }} Sentiment:'.",
        )
    return (Wording("own", named, False),)


@dataclass(frozen=True)
class Reading:
    """From a text to the ids that the model reads, at most `max_length` of them."""

    wording: Wording
    labels: tuple[str, ...]
    template: ChatTemplate
    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def ids(self, text: str) -> tuple[int, ...]:
        """A text that is too long loses its end; the question around it stays whole."""
        found = self._encoded(text)
        if len(found) > self.max_length:
            room = self.max_length - self._frame - SPARE
            if room < 1:
                raise HoneError(
                    f"{self.max_length} tokens are too few.",
                    f"The wording takes {self._frame} by itself.",
                    "Raise max_length, or choose a shorter wording.",
                )
            kept = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:room]
            # A cut inside a character leaves a mark of it, which is dropped.
            found = self._encoded(str(self.tokenizer.decode(kept)).rstrip("\ufffd"))
        return found[-self.max_length :]

    def is_cut(self, text: str) -> bool:
        return len(self._encoded(text)) > self.max_length

    @cached_property
    def _frame(self) -> int:
        return len(self._encoded(""))

    def _encoded(self, text: str) -> tuple[int, ...]:
        known = {"text": text, "labels": ", ".join(self.labels)}
        put = texts.render(self.wording.question, known, "a text")
        if self.wording.as_chat:
            # The template writes the begin token itself, and neutralises what looks like a control token.
            rendered, special = self.template.text([ChatMessage("user", put)]), False
        else:
            rendered, special = neutral(put, self.template.control_tokens), True
        return tuple(self.tokenizer(rendered, add_special_tokens=special, verbose=False)["input_ids"])


def with_wording(reading: Reading, wording: Wording) -> Reading:
    return replace(reading, wording=wording)


def rows(reading: Reading, given: Sequence[str]) -> list[tuple[int, ...]]:
    """The ids of each text. HoneError for one of which nothing is left to read."""
    found = [reading.ids(text) for text in given]
    for text, ids in zip(given, found, strict=True):
        if not ids:
            raise HoneError(f"The text {text!r} is empty.", "", "Give some words.")
    return found
