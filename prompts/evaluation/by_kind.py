"""The column `auto`: each kind of question in the way that has won most, on other items than those asked.

Knows measures, by the rule of `prompts.auto`; no engine, and no score of what is asked now.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from prompts.auto import nothing_better, scores_of, wins
from prompts.evaluation import ways
from prompts.evaluation.columns import Column, How
from prompts.evaluation.model import Model
from prompts.kinds import Kind
from prompts.library import PromptVersion
from prompts.measures import Measuring, Way
from prompts.plain import ZERO_SHOT


@dataclass(frozen=True)
class AutoColumn:
    """`auto` on one model. `serving`: every version in production; `found`: all that is measured of versions
    on the model.
    """

    label: str
    how: How
    model: Model
    serving: Sequence[PromptVersion]
    found: Sequence[Measuring] = field(repr=False)

    @property
    def zero_shot(self) -> PromptVersion:
        return next(one for one in self.serving if one.name == ZERO_SHOT)

    @property
    def plain(self) -> Column:
        """Zero-shot with the column's own settings: what the others are compared with."""
        version = self.zero_shot
        return Column(version.name, version.id, version.strategy, self.how, self.model)

    def asked(self, version: PromptVersion, way: Way, plain_way: Way) -> Column:
        """A version asked in a way that was measured."""
        label = ways.written(version.name, way, plain_way)
        return Column(label, version.id, version.strategy, ways.how_of(way, self.how), self.model)


def pick(
    column: AutoColumn, kind: Kind, plain_way: Way, asked: Set[str], here: Callable[[Column], Way | None]
) -> tuple[Column, str]:
    """How questions of `kind` are asked, and why.

    `plain_way`: of `column.plain`. `asked`: hashes of the items that are asked now, which say nothing.
    `here`: the way in which a column would be asked now; None where it cannot be.
    """
    known = {one.id: one for one in column.serving}
    scores = {
        (version_id, way): items
        for (version_id, way), items in scores_of(column.found, kind, asked).items()
        if version_id in known and way.by == plain_way.by
    }
    won, compared = wins(scores, lambda way: (column.zero_shot.id, plain_way))
    for one in won:
        candidate = column.asked(known[one.version_id], one.way, plain_way)
        if here(candidate) == one.way:
            return candidate, one.words(kind)
    if won:
        best = column.asked(known[won[0].version_id], won[0].way, plain_way)
        return column.plain, f"{best.label} has won on other items, and cannot be asked so here"
    return column.plain, nothing_better(kind, compared, "on this model, on other items and asked so")
