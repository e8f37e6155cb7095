"""What differs between two versions of a strategy, file by file and line by line. Pure; by difflib."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prompts.strategy import Strategy

Kind = Literal["same", "removed", "added", "skipped"]
CONTEXT_LINES = 3


@dataclass(frozen=True)
class DiffLine:
    """One line. `old`, `new`: its number in each file, where it is there. `skipped`: the same, left out."""

    kind: Kind
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True)
class FileDiff:
    """One file that differs. `old`, `new`: its name in each version, "" where it is missing."""

    old: str
    new: str
    lines: tuple[DiffLine, ...]

    @property
    def added(self) -> int:
        return sum(line.kind == "added" for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind == "removed" for line in self.lines)


def between(old: Strategy, new: Strategy) -> tuple[FileDiff, ...]:
    """The files that differ, in order of name; nothing for the same text."""
    return tuple(
        FileDiff(names[0], names[1], tuple(_lines(*_split(*texts))))
        for names, texts in _paired(old, new)
        if texts[0] != texts[1]
    )


def unified(old: Strategy, new: Strategy, old_id: str, new_id: str) -> str:
    """The same as `diff -u` writes it; "" for the same text."""
    parts: list[str] = []
    for names, texts in _paired(old, new):
        named = [
            f"{one}/{name}" if name else "/dev/null"
            for one, name in zip((old_id, new_id), names, strict=True)
        ]
        before, after = _split(*texts)
        parts += difflib.unified_diff(before, after, named[0], named[1], lineterm="", n=CONTEXT_LINES)
    return "\n".join(parts)


def _paired(old: Strategy, new: Strategy) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """(name in old, name in new), (text in old, text in new). Two single templates are one file renamed."""
    if len(old.files) == len(new.files) == 1:
        (old_name, old_text), (new_name, new_text) = old.files[0], new.files[0]
        yield (old_name, new_name), (old_text, new_text)
        return
    olds, news = dict(old.files), dict(new.files)
    for name in sorted({*olds, *news}):
        names = (name if name in olds else "", name if name in news else "")
        yield names, (olds.get(name, ""), news.get(name, ""))


def _split(old: str, new: str) -> tuple[list[str], list[str]]:
    """The lines of both; a line end at the end of both opens no line."""
    lines = [text.split("\n") if text else [] for text in (old, new)]
    if all(one[-1:] == [""] for one in lines):
        lines = [one[:-1] for one in lines]
    return lines[0], lines[1]


def _lines(old: list[str], new: list[str]) -> Iterator[DiffLine]:
    groups = difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT_LINES)
    shown = 0  # lines of `old` up to here were given out
    for group in groups:
        if group[0][1] > shown:
            yield _skipped(group[0][1] - shown)
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                for at in range(old_to - old_from):
                    yield DiffLine("same", old_from + at + 1, new_from + at + 1, old[old_from + at])
                continue
            for at in range(old_from, old_to):
                yield DiffLine("removed", at + 1, None, old[at])
            for at in range(new_from, new_to):
                yield DiffLine("added", None, at + 1, new[at])
        shown = group[-1][2]
    if shown < len(old):
        yield _skipped(len(old) - shown)


def _skipped(lines: int) -> DiffLine:
    return DiffLine("skipped", None, None, f"{lines} {'line' if lines == 1 else 'lines'} the same")
