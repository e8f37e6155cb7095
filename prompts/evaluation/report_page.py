"""A report as one HTML file that needs nothing else: no server, no network, no other file.

All texts are written by a model or come from data: they are escaped in the markup, and in the data of the
script, which puts them in as text and never as markup.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from feedback.statistics import Interval
from prompts.evaluation.columns import Cell, Outcome
from prompts.evaluation.report import Report, headings, name
from prompts.evaluation.units import NATS, SHARE, Unit

PARTS = Path(__file__).parent / "page"
LABELS = ("items", "seconds", "tokens read", "written")


Ends = Mapping[tuple[str, Unit], tuple[float, float]]
"""Between which numbers the scores of one dataset in one unit are drawn."""


@dataclass(frozen=True)
class Words:
    """What the page says of scores in one unit. `means`: over the map of them; `counts`: over the rules."""

    means: str
    about: str
    counts: str


WORDS = {
    SHARE: Words(
        "What is right", "Share of items answered rightly, with its 95 % interval.", "What counts as right"
    ),
    NATS: Words(
        "Rewards",
        "Mean reward in nats, with its 95 % bootstrap interval. Rewards tell answers to the same questions"
        " apart: each dataset has a scale of its own, and a zero means nothing.",
        "What the reward is of",
    ),
}


def page(report: Report) -> str:
    """The whole file."""
    ends = _ends(report.cells)
    words = [WORDS[unit] for unit in dict.fromkeys(cell.unit for cell in report.cells)]
    return _part("report.html").format(
        style=_part("report.css"),
        script=_part("report.js"),
        about=escape(f"{report.made_at[:16].replace('T', ' ')} UTC"),
        command=f"<pre>{escape(report.command)}</pre>" if report.command else "",
        means=" and ".join(one.means for one in words),
        means_about=" ".join(one.about for one in words),
        counts=" and ".join(one.counts for one in words),
        heat=_heat(report.cells, ends),
        cells=_cells(report.cells, ends),
        chosen=_chosen(report.cells),
        tests=_tests(report),
        rules=_rules(report.cells),
        data=_data(report),
    )


@lru_cache
def _part(file: str) -> str:
    return (PARTS / file).read_text("utf-8")


def _ends(cells: Sequence[Cell]) -> Ends:
    """Of a unit without bounds: from the lowest to the highest end of an interval."""
    found: dict[tuple[str, Unit], tuple[float, float]] = {}
    for cell in cells:
        key = (cell.dataset, cell.unit)
        if cell.unit.ends is not None:
            found[key] = cell.unit.ends
        elif cell.score is not None:
            low, high = found.get(key, (cell.score.low, cell.score.high))
            found[key] = min(low, cell.score.low), max(high, cell.score.high)
    return found


def _places(cell: Cell, score: Interval, ends: Ends) -> Interval:
    """Where a score and its interval lie between the ends: 0 to 1."""
    low, high = ends[cell.dataset, cell.unit]
    width = (high - low) or 1.0
    return Interval(*((one - low) / width for one in (score.value, score.low, score.high)))


def _heat(cells: Sequence[Cell], ends: Ends) -> str:
    """Strategies down, datasets across; the darker, the more is right, or rewarded."""
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    columns = list(dict.fromkeys(name(cell, cells) for cell in cells))
    found = {(name(cell, cells), cell.dataset): cell for cell in cells}
    head = "".join(f'<th scope="col">{escape(dataset)}</th>' for dataset in datasets)
    rows = "".join(
        f'<tr><th scope="row">{escape(column)}</th>'
        + "".join(_heat_cell(found.get((column, dataset)), ends) for dataset in datasets)
        + "</tr>"
        for column in columns
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _heat_cell(cell: Cell | None, ends: Ends) -> str:
    if cell is None or cell.score is None:
        return '<td class="none">-</td>'
    place = _places(cell, cell.score, ends).value
    value, low, high = (cell.unit.glance(one) for one in (cell.score.value, cell.score.low, cell.score.high))
    return f'<td class="heat" style="--share:{place:.3f}"><b>{value}</b><small>{low} to {high}</small></td>'


def _cells(cells: Sequence[Cell], ends: Ends) -> str:
    rows = []
    for cell in cells:
        read, written = cell.tokens()
        by = cell.by + (f", calibrated by {cell.calibrated}" if cell.calibrated != "no" else "")
        failed = f" <em>({cell.failed} could not be judged)</em>" if cell.failed else ""
        failed += f" <em>({cell.cut_off} cut off)</em>" if cell.cut_off else ""
        texts = (cell.dataset, name(cell, cells), by, cell.examples)
        parts = [f"<td>{escape(text)}</td>" for text in texts]
        parts += [
            f"<td>{_bar(cell, ends)}</td>",
            f'<td class="n">{len(cell.outcomes) - cell.failed}{failed}</td>',
        ]
        parts += [
            f'<td class="n">{text}</td>' for text in (f"{cell.seconds:.1f}", f"{read:,}", f"{written:,}")
        ]
        rows.append(f"<tr>{''.join(parts)}</tr>")
    labels = ("dataset", "strategy", "by", "examples", headings(cells), *LABELS)
    head = "".join(f'<th scope="col">{label}</th>' for label in labels)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _chosen(cells: Sequence[Cell]) -> str:
    """What `auto` took for each kind of question, where it is a column."""
    return "".join(
        f"<h3>What {escape(name(cell, cells))} chose on {escape(cell.dataset)}</h3>"
        f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in cell.chosen)}</ul>"
        for cell in cells
        if cell.chosen
    )


def _bar(cell: Cell, ends: Ends) -> str:
    """The mean with its interval, as a line on a scale between the ends."""
    if cell.score is None:
        return "-"
    at = _places(cell, cell.score, ends)
    value, low, high = (cell.unit.written(one) for one in (cell.score.value, cell.score.low, cell.score.high))
    return (
        f'<span class="bar" style="--low:{at.low:.4f};--high:{at.high:.4f};--value:{at.value:.4f}"></span>'
        f'<span class="n">{value} ({low} to {high})</span>'
    )


def _tests(report: Report) -> str:
    if not report.tests:
        return "<p>One column: nothing to compare.</p>"
    rows = "".join(
        f'<tr class="{_sign(test.paired.difference.low, test.paired.difference.high)}">'
        f"<td>{escape(test.dataset)}</td><td>{escape(test.b)}</td><td>{escape(test.a)}</td>"
        f'<td class="n">{test.unit.difference(test.paired.difference)}</td>'
        f'<td class="n">{test.paired.better} : {test.paired.worse}</td>'
        f'<td class="n">{test.paired.p:.2g}</td><td class="n">{test.adjusted_p:.2g}</td></tr>'
        for test in report.tests
    )
    sides = " or ".join(dict.fromkeys(f"{test.unit.up} : {test.unit.down}" for test in report.tests))
    labels = ("dataset", "this", "against", "difference (95 %)", sides, "p", "p, all tests")
    head = "".join(f'<th scope="col">{label}</th>' for label in labels)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _sign(low: float, high: float) -> str:
    return "up" if low > 0 else "down" if high < 0 else "level"


def _rules(cells: Sequence[Cell]) -> str:
    rules = dict.fromkeys((cell.metric, cell.by, cell.rule) for cell in cells)
    return "".join(f"<li><b>{escape(metric)}</b>, by {by}: {escape(rule)}</li>" for metric, by, rule in rules)


def _data(report: Report) -> str:
    """The examples for the script, as JSON that cannot close its element. What all prompts of a cell begin
    with is written once.
    """
    cells = [_cell_data(cell, report.cells) for cell in report.cells]
    written = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _cell_data(cell: Cell, cells: Sequence[Cell]) -> Mapping[str, Any]:
    opening = _common([outcome.prompt for outcome in cell.outcomes if outcome.prompt])
    rows = [_outcome_data(outcome, len(opening)) for outcome in cell.outcomes]
    told = {"column": name(cell, cells), "dataset": cell.dataset, "unit": cell.unit.name}
    return {**told, "opening": opening, "rows": rows}


def _common(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    least, most = min(texts, default=""), max(texts, default="")
    return least[
        : next((at for at, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
    ]


def _outcome_data(outcome: Outcome, opening: int) -> Sequence[Any]:
    shares = " · ".join(f"{option} {share:.3f}" for option, share in outcome.shares)
    said = outcome.error or outcome.said or shares
    texts = (outcome.item_id, outcome.question, outcome.gold, outcome.read, said, outcome.reasoning)
    return [
        *texts,
        outcome.value,
        outcome.prompt[opening:],
        round(outcome.seconds, 3),
        outcome.written_tokens,
    ]
