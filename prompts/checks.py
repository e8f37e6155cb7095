"""Checks on what a step wrote: plain rules, told in words when they fail. Knows text only."""

from dataclasses import dataclass

import regex

from prompts.answers import normal

PATTERN_S = 0.2
"""How long a pattern may search in one text, in seconds. Then the check counts as failed, never as passed."""

MAX_PATTERN_CHARS = 1000


@dataclass(frozen=True)
class Check:
    """What must hold of a step's answer; every rule that is given must.

    `pattern`: a regular expression that is found somewhere in it. `contains`: texts that all stand in it, in
    capitals or not. `one_of`: the texts that it may be, compared by `answers.normal`. `max_words`,
    `min_words`: bounds on its words, which are parted by space. `not_empty`: it says something.
    """

    pattern: str | None = None
    contains: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    max_words: int | None = None
    min_words: int | None = None
    not_empty: bool = False

    def failed(self, text: str) -> tuple[str, ...]:
        """The rules that `text` breaks, each in words for a person; none when the check holds."""
        words = len(text.split())
        found = [
            _pattern_fault(self.pattern, text) if self.pattern is not None else "",
            *(f"lacks {part!r}" for part in self.contains if part.casefold() not in text.casefold()),
            _choice_fault(self.one_of, text) if self.one_of else "",
            f"has {words} words, more than {self.max_words}"
            if self.max_words is not None and words > self.max_words
            else "",
            f"has {words} words, fewer than {self.min_words}"
            if self.min_words is not None and words < self.min_words
            else "",
            "is empty" if self.not_empty and not words else "",
        ]
        return tuple(fault for fault in found if fault)


def compiled(pattern: str) -> regex.Pattern[str]:
    """The pattern, ready to search. Raises ValueError, in words, when it cannot be one."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"a pattern may be {MAX_PATTERN_CHARS} characters long")
    try:
        return regex.compile(pattern, cache_pattern=True)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"the pattern cannot be read: {error}") from error


def _pattern_fault(pattern: str, text: str) -> str:
    try:
        found = compiled(pattern).search(text, timeout=PATTERN_S)
    except TimeoutError:
        return f"took too long to search for {pattern!r}"
    return "" if found else f"does not match {pattern!r}"


def _choice_fault(options: tuple[str, ...], text: str) -> str:
    return (
        "" if normal(text) in {normal(option) for option in options} else f"is none of {', '.join(options)}"
    )
