"""A race by successive halving (Jamieson and Talwalkar, 2016): many on few items, the better half on more.

Pure: knows no prompt and no model. All run on the same items, in the same order, so that luck with the items
is everybody's.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)

HALVING = 2


@dataclass(frozen=True)
class Placed(Generic[C]):
    """Where a runner ended: its score on the first `items` items."""

    runner: C
    items: int
    score: float


def rungs(runners: int, first: int, most: int) -> list[tuple[int, int]]:
    """(runners, items) of each rung: half the runners, twice the items, until one runner or `most` items.

    ValueError unless there is a runner and an item.
    """
    if runners < 1 or first < 1 or most < first:
        raise ValueError(
            "a race needs a runner, an item, and no fewer items at its end than at its beginning"
        )
    found = [(runners, first)]
    while runners > 1 and first < most:
        runners, first = -(-runners // HALVING), min(most, first * HALVING)
        found.append((runners, first))
    return found


def cost(runners: int, first: int, most: int) -> int:
    """Questions that a race asks at most: items that were run before are not run again."""
    steps = rungs(runners, first, most)
    before = [0, *(items for _, items in steps[:-1])]
    return sum(count * (items - known) for (count, items), known in zip(steps, before, strict=True))


def halve(
    runners: Sequence[C], first: int, most: int, score: Callable[[C, int], float | None]
) -> list[Placed[C]]:
    """Run the race; who came furthest first, and of these the best.

    `score(runner, items)`: on the first `items` items, higher is better; None ends the race where it stands.
    Ties go to who stands earlier in `runners`.
    """
    left = list(runners)
    placed: dict[C, Placed[C]] = {}
    for count, items in rungs(len(left), first, most):
        scored: list[Placed[C]] = []
        for runner in left[:count]:
            value = score(runner, items)
            if value is None:
                break
            scored.append(Placed(runner, items, value))
        placed |= {one.runner: one for one in scored}
        if len(scored) < len(left[:count]):
            break
        left = [one.runner for one in sorted(scored, key=lambda one: -one.score)]
    return ranked(placed.values())


def ranked(placed: Iterable[Placed[C]]) -> list[Placed[C]]:
    """Who came furthest first, and of these the best."""
    return sorted(placed, key=lambda one: (-one.items, -one.score))
