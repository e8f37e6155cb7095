"""What of a model's text is the answer: after a marker, by a stated rule, by a majority. Pure text rules."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from prompts.events import AnswerText, ReasoningText

Take = Literal["whole", "first line", "last number", "choice"]

_NUMBER = re.compile(r"(?<![\w.])(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?", re.ASCII)
_ENDS = " \t\r\n.,;:!?*`\"'\u2018\u2019\u201c\u201d"
"""What `normal` takes off both ends of a text: space, the marks of a sentence's end, quotes, stars."""


@dataclass(frozen=True)
class AnswerRule:
    """How the answer is found. Without `marker` all is answer, with "whole" all of it counts.

    `options`: what "choice" chooses from, at least two.
    """

    marker: str | None = None
    take: Take = "whole"
    options: tuple[str, ...] = ()

    def parted(self, text: str) -> tuple[str, str]:
        """Reasoning and answer of a whole text, parted at the first marker. Without it all is answer."""
        split = MarkerSplit(self.marker)
        for _ in split.feed(text):
            pass
        for _ in split.end():
            pass
        return split.reasoning, split.answer

    def taken(self, answer: str) -> str:
        """What counts of `answer`, which stands after the marker. Where nothing is found, all of it.

        whole: as it is, without space at its ends. first line: the first that is not blank. last number: the
        last, written plainly (1,234.50 is 1234.5). choice: the option that is named first.
        """
        answer = answer.strip()
        if self.take == "first line":
            return answer.split("\n", 1)[0].strip()
        found = None
        if self.take == "last number":
            found = last_number(answer)
        elif self.take == "choice":
            found = first_named(answer, self.options)
        return answer if found is None else found


def last_number(text: str) -> str | None:
    """The last number in `text`: digits that no letter, digit or point stands before, with commas between
    thousands or without, and a part after a point. A minus counts where no letter, digit or bracket stands
    before it. Zeros that say nothing are left out.
    """
    matches = list(_NUMBER.finditer(text))
    if not matches:
        return None
    match = matches[-1]
    whole, _, part = match.group().replace(",", "").partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    number = f"{whole}.{part}" if part else whole
    start = match.start()
    negative = text[:start].endswith(("-", "\u2212")) and not re.search(r"[\w)\]].\Z", text[:start])
    return f"-{number}" if negative and number != "0" else number


def first_named(text: str, options: Sequence[str]) -> str | None:
    """The one of `options` that `text` names first, as a whole word; of two at one place, the longer.

    The case of letters does not matter, but for options of one letter: a is a word, A a choice.
    """
    found: list[tuple[int, int, str]] = []
    for option in options:
        flags = 0 if len(option) == 1 else re.IGNORECASE
        if match := re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, flags):
            found.append((match.start(), -len(option), option))
    return min(found)[2] if found else None


def normal(text: str) -> str:
    """What makes two answers the same: NFC, small letters, one space between words, and no space, quotes,
    stars or marks of a sentence's end at either end. A text of such marks alone is left as it is.
    """
    plain = " ".join(unicodedata.normalize("NFC", text.casefold()).split())
    return plain.strip(_ENDS) or plain


def majority(answers: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Each different answer, as it was first written, with how many said it: the most first, ties by who was
    first. Empty answers are no votes.
    """
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for answer in answers:
        if key := normal(answer):
            first.setdefault(key, answer)
            counts[key] = counts.get(key, 0) + 1
    return tuple((first[key], counts[key]) for key in sorted(counts, key=lambda key: -counts[key]))


class MarkerSplit:
    """Parts a stream into reasoning and answer at the first `marker`, even when pieces cut the marker.

    Without a marker all is answer, unchanged. `answer` and `reasoning` are complete after `end()`.
    """

    def __init__(self, marker: str | None) -> None:
        self._marker = marker
        self._held = ""  # the end of what came, while it may still become the marker
        self._before: list[str] = []
        self._after: list[str] = []
        self._in_answer = marker is None

    def feed(self, piece: str) -> Iterator[ReasoningText | AnswerText]:
        if self._marker is None or self._in_answer:
            yield from self._answer(piece)
            return
        text = self._held + piece
        before, found, after = text.partition(self._marker)
        keep = 0 if found else overlap(text, self._marker)
        self._held = text[len(text) - keep :]
        before = before[: len(before) - keep] if not found else before
        if before:
            self._before.append(before)
            yield ReasoningText(before)
        if found:
            self._in_answer = True
            yield from self._answer(after)

    def end(self) -> Iterator[AnswerText]:
        if not self._in_answer:
            whole = "".join(self._before) + self._held
            self._before, self._held = [], ""
            if whole:
                self._after.append(whole)
                yield AnswerText(whole)

    def _answer(self, piece: str) -> Iterator[AnswerText]:
        if self._marker is not None and not self._after:
            piece = piece.lstrip()  # the space after the marker belongs to it
        if piece:
            self._after.append(piece)
            yield AnswerText(piece)

    @property
    def answer(self) -> str:
        return "".join(self._after)

    @property
    def reasoning(self) -> str:
        return "".join(self._before).strip()


def overlap(text: str, marker: str) -> int:
    """The length of the longest end of `text` that begins `marker`."""
    return next((n for n in range(min(len(marker) - 1, len(text)), 0, -1) if text.endswith(marker[:n])), 0)
