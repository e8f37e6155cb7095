"""What an evaluation found, as the measures that `auto` chooses by. Pure: cells in, measures out."""

from collections.abc import Mapping, Sequence

from feedback.ids import ModelVersionId, PromptVersionId
from prompts.evaluation.columns import Cell, Column, Outcome
from prompts.evaluation.matrix import Work
from prompts.evaluation.units import SHARE
from prompts.kinds import kind_of
from prompts.measures import Measure, Measuring, item_sha256


def measurings(
    works: Sequence[Work], cells: Sequence[Cell], model_ids: Mapping[str, ModelVersionId]
) -> list[Measuring]:
    """What came of `works`, in their order, on the model versions of these names. Left out are what could not
    be judged, and the column `auto`: it may not feed itself. Rewards too: `auto` counts right answers, and
    what a reward model likes is a guess at what people would, whose votes `auto` asks themselves.
    """
    return [
        Measuring(
            model_ids[cell.model],
            PromptVersionId(part.column.version),
            part.way,
            cell.rule,
            _measures(cell, {item.id for item in part.items}),
        )
        for work, cell in zip(works, cells, strict=True)
        if isinstance(work.column, Column) and cell.unit == SHARE
        for part in work.parts
    ]


def _measures(cell: Cell, item_ids: set[str]) -> list[Measure]:
    return [
        _measure(outcome, cell.dataset, outcome.value)
        for outcome in cell.outcomes
        if outcome.value is not None and outcome.item_id in item_ids
    ]


def _measure(outcome: Outcome, dataset: str, score: float) -> Measure:
    return Measure(item_sha256(outcome.question), dataset, kind_of(outcome.question), score)
