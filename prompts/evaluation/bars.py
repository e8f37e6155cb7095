"""Bars: what a prompt must reach, written in a YAML file, for `hone prompts test`. Knows no model.

A test fails when the share of right answers, or the mean reward, is below its bar, and when an item could not
be judged: a failure is never a score, and what was skipped is never a pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import get_args

from prompts import section_files
from prompts.evaluation import metrics
from prompts.evaluation.columns import By, Calibrate, Cell, How
from prompts.evaluation.datasets import Source, Wording, source
from prompts.evaluation.shown import CHOOSING, Picking
from prompts.frontmatter import FormatError, Section

KEYS = (
    *("name", "strategy", "model", "data", "train", "limit", "bar"),
    *("question", "answer", "options", "metric", "by", "calibrate", "shots", "choose", "draw", "max_tokens"),
)


@dataclass(frozen=True)
class Bar:
    """One test: what is measured, and what its mean must reach: of right answers a share, 0 to 1; of rewards
    any number, in nats.
    """

    name: str
    strategy: str
    model: str
    data: Source
    train: Source | None
    wording: Wording
    limit: int | None
    how: How
    bar: float


@dataclass(frozen=True)
class Verdict:
    """What came of a test. `sentence`: in words, with what the interval says of it."""

    bar: Bar
    cell: Cell
    passed: bool
    sentence: str


def read(file: Path) -> list[Bar]:
    """The tests in `file`; paths in it are relative to it. HoneError with the line of what is wrong."""
    return section_files.read(
        file,
        ("tests",),
        lambda section: [_bar(one, file.parent) for one in section.some("tests", KEYS, "test")],
        str(file),
        "docs/evaluation.md shows how such a file is written.",
    )


def _bar(section: Section, folder: Path) -> Bar:
    metric = _text(section, "metric")
    least, most = metrics.unit_of(metric).ends or (-inf, inf)
    bar = section.number("bar", most, least)
    if bar is None:
        raise FormatError(section.opens, "'bar' is missing: the share of right answers, such as 0.8")
    strategy = section.text("strategy")
    return Bar(
        name=_text(section, "name") or strategy,
        strategy=strategy,
        model=_text(section, "model") or "champion",
        data=_source(section, "data", folder),
        train=_source(section, "train", folder) if section.has("train") else None,
        wording=Wording(
            _text(section, "question"),
            _text(section, "answer"),
            tuple(section.texts("options")) if section.has("options") else (),
            metric,
        ),
        limit=section.positive("limit"),
        how=_how(section),
        bar=bar,
    )


def _how(section: Section) -> How:
    how = How(
        by=section.one_of("by", get_args(By)) if section.has("by") else "auto",
        calibrate=section.one_of("calibrate", get_args(Calibrate)) if section.has("calibrate") else "no",
        examples=Picking(
            section.positive("shots"),
            section.one_of("choose", CHOOSING) if section.has("choose") else None,
            section.positive("draw") or 0,
        ),
    )
    most = section.positive("max_tokens")
    return replace(how, sampling=replace(how.sampling, max_tokens=most)) if most else how


def _text(section: Section, key: str) -> str:
    return section.text(key) if section.has(key) else ""


def _source(section: Section, key: str, folder: Path) -> Source:
    found = source(section.text(key))
    return replace(found, file=folder / found.file)


def judge(bar: Bar, cell: Cell) -> Verdict:
    """Whether `cell` reaches its bar, and whether the interval supports it."""
    if cell.failed or cell.score is None:
        why = next(outcome.error for outcome in cell.outcomes if outcome.value is None)
        words = f"{cell.failed} of {len(cell.outcomes)} items could not be judged, the first because: {why}"
        return Verdict(bar, cell, False, f"{bar.name}: fails; {words}")
    value, low, high = cell.score.value, cell.score.low, cell.score.high
    passed = value >= bar.bar
    if passed:
        support = (
            "the interval lies above it" if low >= bar.bar
            else "the interval reaches below it, so that more items are needed to be sure"
        )  # fmt: skip
    else:
        support = (
            "the interval lies below it" if high < bar.bar
            else "the interval reaches above it, so that it may be chance"
        )  # fmt: skip
    side = "reaches" if passed else "is below"
    found, least, most = (cell.unit.written(one) for one in (value, low, high))
    sentence = (
        f"{bar.name}: {'passes' if passed else 'fails'}; {found} ({least} to {most}, "
        f"{len(cell.outcomes)} items) {side} the bar {bar.bar:g}; {support}."
    )
    return Verdict(bar, cell, passed, sentence)


def all_pass(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)
