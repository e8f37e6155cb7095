"""Figures beside their bars, and what a section of bench/serving.py is given. Pure, but for printing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedback.home import Home

DISTURBED_CORES = 0.15
"""Taken by other programs: above this the figures say as much of them as of the peers."""


@dataclass(frozen=True)
class Plan:
    """`home` is prepared, its champion the base; `version`: another version in it, with an adapter."""

    home: Home
    version: str
    repeats: int
    peers: frozenset[str]

    def has(self, peer: str) -> bool:
        return peer in self.peers


@dataclass(frozen=True)
class Figure:
    """One line of the table. `met` is None where there is no bar, or no peer to hold it against."""

    what: str
    value: str
    ratio: str
    bar: str
    met: bool | None


Pair = tuple[float, float | None, str]
"""Hone's figure, the other's if it was measured, and their unit."""


def at_most(what: str, pair: Pair, bar: float) -> Figure:
    """A ratio that shall be `bar` or less."""
    return _ratio(what, pair, f"at most {bar:g}", lambda ratio: ratio <= bar)


def at_least(what: str, pair: Pair, bar: float) -> Figure:
    """A ratio that shall be `bar` or more."""
    return _ratio(what, pair, f"at least {bar:g}", lambda ratio: ratio >= bar)


def told(what: str, value: float, unit: str, under: float | None = None) -> Figure:
    """A figure of its own, which may have to stay under a bar."""
    bar = "" if under is None else f"under {under:g} {unit}"
    return Figure(what, f"{value:.4g} {unit}", "", bar, None if under is None else value < under)


def none_of(what: str, count: int) -> Figure:
    """Something that must not happen."""
    return Figure(what, str(count), "", "0", count == 0)


def failure(why: str) -> Figure:
    """A section that could not be measured: whatever its bar is, it is not met."""
    return Figure("not measured", " ".join(why.split())[-200:].replace("|", "/"), "", "", False)


def _ratio(what: str, pair: Pair, bar: str, holds: Callable[[float], bool]) -> Figure:
    mine, theirs, unit = pair
    if theirs is None:
        return Figure(what, f"{mine:.4g} {unit}", "", bar, None)
    ratio = mine / theirs
    return Figure(what, f"{mine:.4g} / {theirs:.4g} {unit}", f"{ratio:.2f}", bar, holds(ratio))


def show(title: str, figures: Sequence[Figure], others_s: float, took_s: float) -> None:
    """A table in Markdown, as docs/benchmarks.md has it, and how quiet the machine was."""
    print(f"\n### {title}\n| | measured | ratio | bar | met |\n|---|---|---|---|---|")  # noqa: T201
    for one in figures:
        met = "" if one.met is None else "yes" if one.met else "**no**"
        print(f"| {one.what} | {one.value} | {one.ratio} | {one.bar} | {met} |")  # noqa: T201
    cores = others_s / took_s
    judged = "; **disturbed: these figures do not count**" if cores > DISTURBED_CORES else ""
    print(f"\nOther programs took {cores:.2f} cores meanwhile{judged}.", flush=True)  # noqa: T201
