"""The report of an evaluation: what it found, as data, JSON, CSV and a table for a terminal. Pure.

The page of it is `report_page`.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from feedback.canonical import plain_json
from feedback.columns import aligned
from prompts.evaluation.columns import Cell, scores_of_both
from prompts.evaluation.statistics import Paired, holm, paired
from prompts.evaluation.units import SHARE, Unit

CONFIDENCE = "95 %"
SURE = 0.05


@dataclass(frozen=True)
class Test:
    """Two columns on one dataset: `b` against `a`, in `unit`. `adjusted_p`: for all tests of the report
    (Holm).
    """

    __test__ = False  # for pytest: this is no test of the code

    dataset: str
    a: str
    b: str
    paired: Paired
    adjusted_p: float
    unit: Unit = SHARE

    @property
    def sentence(self) -> str:
        """What it says, in words. Better or worse is said where the p for all tests is below 0.05."""
        found, unit = self.paired, self.unit
        verdict = "cannot be told from"
        if self.adjusted_p < SURE:
            verdict = unit.above if found.difference.value > 0 else unit.below
        return (
            f"{self.b} {verdict} {self.a} on {self.dataset}: {unit.difference(found.difference)}, "
            f"{found.better} items {unit.up}, {found.worse} {unit.down} of {found.items}, "
            f"p = {found.p:.2g} ({self.adjusted_p:.2g} for all tests)."
        )


@dataclass(frozen=True)
class Report:
    """Cells and the tests between them. `made_at`: UTC. `command`: how it was asked for, if known."""

    cells: tuple[Cell, ...]
    tests: tuple[Test, ...]
    made_at: str
    command: str = ""


def report(cells: Sequence[Cell], made_at: str, command: str = "") -> Report:
    """The cells with the paired tests of any two columns on the same dataset."""
    found = [
        (a, b, paired(*both))
        for a, b in combinations(cells, 2)
        if (a.dataset, a.unit) == (b.dataset, b.unit) and (both := scores_of_both(a, b)) is not None
    ]
    adjusted = holm([one.p for _, _, one in found])
    tests = tuple(
        Test(a.dataset, name(a, cells), name(b, cells), one, p, a.unit)
        for (a, b, one), p in zip(found, adjusted, strict=True)
    )
    return Report(tuple(cells), tests, made_at, command)


def name(cell: Cell, cells: Sequence[Cell]) -> str:
    """A cell's column for people; with the model where there are several."""
    return f"{cell.column} on {cell.model}" if len({one.model for one in cells}) > 1 else cell.column


def headings(cells: Sequence[Cell]) -> str:
    """What stands over the scores of `cells`."""
    return " or ".join(dict.fromkeys(cell.unit.heading for cell in cells))


def as_data(found: Report) -> Mapping[str, object]:
    """Everything, as plain data: `cells` with their outcomes, `tests`, `made_at`, `command`."""
    cells = []
    for cell in found.cells:
        read, written = cell.tokens()
        cost = {"seconds": cell.seconds, "tokens_read": read, "tokens_written": written}
        cells.append(
            {**asdict(cell), "unit": cell.unit.name, "failed": cell.failed, "cut_off": cell.cut_off, **cost}
        )
    tests = [{**asdict(test), "unit": test.unit.name, "sentence": test.sentence} for test in found.tests]
    return {"made_at": found.made_at, "command": found.command, "cells": cells, "tests": tests}


def as_json(found: Report) -> str:
    return json.dumps(as_data(found), default=plain_json, ensure_ascii=False, indent=1)


FIELDS = (
    *("dataset", "column", "version", "model", "by", "metric", "unit"),
    *("item_id", "question", "gold", "value", "read", "said", "ended"),
    *("prompt", "written_tokens", "prompt_tokens", "cached_tokens", "calls", "seconds", "error"),
)


def as_csv(found: Report) -> str:
    """One row an item and column. Texts that a spreadsheet would take for a formula are marked as text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for cell in found.cells:
        for outcome in cell.outcomes:
            row = {
                **vars(cell),
                "unit": cell.unit.name,
                **vars(outcome),
            }  # asdict would copy every outcome, each time
            writer.writerow({field: _safe(row[field]) for field in FIELDS})
    return out.getvalue()


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def table(found: Report) -> str:
    """Cells for a terminal, and the tests of each against the first column on the same data."""
    scores = headings(found.cells)
    rows = [
        ("dataset", "column", "by", "examples", scores, CONFIDENCE, "items", "seconds", "read", "written")
    ]
    for cell in found.cells:
        read, written = cell.tokens()
        by = cell.by + (f", calibrated by {cell.calibrated}" if cell.calibrated != "no" else "")
        notes = [
            f"{count} {what}" for count, what in ((cell.failed, "failed"), (cell.cut_off, "cut off")) if count
        ]
        items = str(len(cell.outcomes) - cell.failed) + (f" ({', '.join(notes)})" if notes else "")
        column = name(cell, found.cells)
        score, interval = "-", "-"
        if cell.score:
            score, interval = cell.unit.written(cell.score.value), cell.unit.span(cell.score)
        cost = (f"{cell.seconds:.1f}", f"{read:,}", f"{written:,}")
        rows.append((cell.dataset, column, by, cell.examples, score, interval, items, *cost))
    lines = aligned(rows, ruled=True)
    firsts = {test.dataset: test.a for test in reversed(found.tests)}
    for cell in found.cells:
        if cell.chosen:
            lines += ["", f"What {name(cell, found.cells)} chose on {cell.dataset}:", *cell.chosen]
    told = [test.sentence for test in found.tests if test.a == firsts[test.dataset]]
    if told:
        rest = len(found.tests) - len(told)
        lines += ["", *told, *([f"{rest} more tests are in the reports."] if rest else [])]
    return "\n".join(line.rstrip() for line in lines)
