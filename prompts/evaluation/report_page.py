"""A report as one HTML file that needs nothing else: no server, no network, no other file.

All texts are written by a model or come from data: they are escaped in the markup, and in the data of the
script, which puts them in as text and never as markup.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from prompts.evaluation.columns import Cell, Outcome
from prompts.evaluation.report import Report, name

PARTS = Path(__file__).parent / "page"
LABELS = ("dataset", "strategy", "by", "examples", "right", "items", "seconds", "tokens read", "written")


def page(report: Report) -> str:
    """The whole file."""
    return _part("report.html").format(
        style=_part("report.css"),
        script=_part("report.js"),
        about=escape(f"{report.made_at[:16].replace('T', ' ')} UTC"),
        command=f"<pre>{escape(report.command)}</pre>" if report.command else "",
        heat=_heat(report.cells),
        cells=_cells(report.cells),
        chosen=_chosen(report.cells),
        tests=_tests(report),
        rules=_rules(report.cells),
        data=_data(report),
    )


@lru_cache
def _part(file: str) -> str:
    return (PARTS / file).read_text("utf-8")


def _heat(cells: Sequence[Cell]) -> str:
    """Strategies down, datasets across; the darker, the more is right."""
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    columns = list(dict.fromkeys(name(cell, cells) for cell in cells))
    found = {(name(cell, cells), cell.dataset): cell for cell in cells}
    head = "".join(f'<th scope="col">{escape(dataset)}</th>' for dataset in datasets)
    rows = "".join(
        f'<tr><th scope="row">{escape(column)}</th>'
        + "".join(_heat_cell(found.get((column, dataset))) for dataset in datasets)
        + "</tr>"
        for column in columns
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _heat_cell(cell: Cell | None) -> str:
    if cell is None or cell.score is None:
        return '<td class="none">-</td>'
    value, low, high = cell.score.value, cell.score.low, cell.score.high
    return (
        f'<td class="heat" style="--share:{value:.3f}"><b>{value:.1%}</b>'
        f"<small>{low:.1%} to {high:.1%}</small></td>"
    )


def _cells(cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        read, written = cell.tokens()
        by = cell.by + (f", calibrated by {cell.calibrated}" if cell.calibrated != "no" else "")
        failed = f" <em>({cell.failed} could not be judged)</em>" if cell.failed else ""
        texts = (cell.dataset, name(cell, cells), by, cell.examples)
        parts = [f"<td>{escape(text)}</td>" for text in texts]
        parts += [f"<td>{_bar(cell)}</td>", f"<td>{len(cell.outcomes) - cell.failed}{failed}</td>"]
        parts += [
            f'<td class="n">{text}</td>' for text in (f"{cell.seconds:.1f}", f"{read:,}", f"{written:,}")
        ]
        rows.append(f"<tr>{''.join(parts)}</tr>")
    head = "".join(f'<th scope="col">{label}</th>' for label in LABELS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _chosen(cells: Sequence[Cell]) -> str:
    """What `auto` took for each kind of question, where it is a column."""
    return "".join(
        f"<h3>What {escape(name(cell, cells))} chose on {escape(cell.dataset)}</h3>"
        f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in cell.chosen)}</ul>"
        for cell in cells
        if cell.chosen
    )


def _bar(cell: Cell) -> str:
    """The share with its interval, as a line on a scale from 0 to 1."""
    if cell.score is None:
        return "-"
    value, low, high = cell.score.value, cell.score.low, cell.score.high
    return (
        f'<span class="bar" style="--low:{low:.4f};--high:{high:.4f};--value:{value:.4f}"></span>'
        f'<span class="n">{value:.3f} ({low:.3f} to {high:.3f})</span>'
    )


def _tests(report: Report) -> str:
    if not report.tests:
        return "<p>One column: nothing to compare.</p>"
    rows = "".join(
        f'<tr class="{_sign(test.paired.difference.low, test.paired.difference.high)}">'
        f"<td>{escape(test.dataset)}</td><td>{escape(test.b)}</td><td>{escape(test.a)}</td>"
        f'<td class="n">{test.paired.difference.value * 100:+.1f} '
        f"({test.paired.difference.low * 100:+.1f} to {test.paired.difference.high * 100:+.1f})</td>"
        f'<td class="n">{test.paired.better} : {test.paired.worse}</td>'
        f'<td class="n">{test.paired.p:.2g}</td><td class="n">{test.adjusted_p:.2g}</td></tr>'
        for test in report.tests
    )
    labels = ("dataset", "this", "against", "points (95 %)", "better : worse", "p", "p, all tests")
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
    return {"column": name(cell, cells), "dataset": cell.dataset, "opening": opening, "rows": rows}


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
