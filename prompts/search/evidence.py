"""The evidence for what a search found: it beside each start, on items that the search never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feedback.errors import HoneError
from prompts.evaluation import matrix
from prompts.evaluation.columns import Cell, Column, scores_of_both
from prompts.evaluation.matrix import Progress
from prompts.evaluation.statistics import Paired, paired
from prompts.search import candidates
from prompts.search.optimise import Found, Search

Verdict = Literal["better", "not sure", "no better", "worse", "the start"]
"""Beside the starts. Not sure: the difference is above zero, and its interval is not."""

FOUND = "found"


@dataclass(frozen=True)
class Evidence:
    """`starts` in order, then `found`: the same held-out items. `against`: found beside each start, item by
    item; items that one of the two could not be judged on are left out.
    """

    starts: tuple[Cell, ...]
    found: Cell
    against: tuple[Paired, ...]
    verdict: Verdict

    @property
    def note(self) -> str:
        """For the list of versions: what is known of it, in figures."""
        first, other = self.against[0], self.starts[0]
        gain = first.difference
        return (
            f"Found by a search: {_share(self.found)} against {_share(other)} of {other.column}"
            f" on {first.items} held-out items of {self.found.dataset}"
            f" ({100 * gain.value:+.1f} points, {100 * gain.low:.1f} to {100 * gain.high:.1f})."
        )


def _share(cell: Cell) -> str:
    return "none" if cell.score is None else f"{cell.score.value:.3f}"


def prove(search: Search, found: Found, progress: Progress | None = None) -> Evidence:
    """Ask every held-out item of each start and of what was found. CancelledError as `matrix.run`."""
    name = found.best.start.strategy.name
    columns = [Column(one.label, "", one.strategy, search.how, search.model) for one in search.starts]
    columns.append(Column(FOUND, "", found.best.strategy(name), search.how, search.model))
    cells = matrix.run(matrix.plan(columns, [search.material.held]), search.calls, progress, search.stop)
    *starts, best = cells
    against = tuple(_paired(one, best) for one in starts)
    is_start = any(found.best.key == candidates.first(one).key for one in search.starts)
    return Evidence(tuple(starts), best, against, "the start" if is_start else _verdict(against))


def _paired(before: Cell, after: Cell) -> Paired:
    both = scores_of_both(before, after)
    if both is None:
        why = next((one.error for one in after.outcomes if one.error), "")
        raise HoneError("No held-out item could be judged.", why, "Choose other data to prove it on.")
    return paired(*both)


def _verdict(against: Sequence[Paired]) -> Verdict:
    """Better only where it is better than every start: whoever gave two had a reason."""
    if all(one.difference.low > 0 for one in against):
        return "better"
    if any(one.difference.high < 0 for one in against):
        return "worse"
    return "no better" if any(one.difference.value <= 0 for one in against) else "not sure"
