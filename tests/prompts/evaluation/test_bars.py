"""Bars in a file: what is read, what is refused, and what the interval says of a verdict."""

from dataclasses import replace
from pathlib import Path

import pytest

from feedback.errors import HoneError
from feedback.statistics import Interval, wilson
from prompts.evaluation import bars
from prompts.evaluation.bars import judge, read
from prompts.evaluation.columns import Cell, Outcome
from prompts.evaluation.units import NATS

FILE = """\
tests:
  - name: reviews
    strategy: few-shot
    data: sst2:dev.jsonl
    train: sst2:train.jsonl
    limit: 100
    by: likelihood
    calibrate: training
    shots: 8
    choose: balanced
    bar: 0.8
  - strategy: zero-shot
    data: csv:more/capitals.csv
    question: "What is the capital of {{ country }}?"
    answer: "{{ capital }}"
    max_tokens: 20
    bar: 0.1
"""


def cell(right: int, items: int, failed: int = 0) -> Cell:
    outcomes = [Outcome(str(n), "q", "a", float(n < right)) for n in range(items - failed)]
    outcomes += [Outcome(str(n), "q", "a", None, error="too long") for n in range(failed)]
    score = wilson(right, items - failed) if items > failed else None
    return Cell("c", "pv", "m", "d", "generation", "no", "", "exact", "", tuple(outcomes), score)


def test_a_file_is_read_and_its_paths_are_its_own(tmp_path: Path) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(FILE)
    first, second = read(file)
    assert (first.name, first.data.file, first.limit, first.bar) == (
        "reviews",
        tmp_path / "dev.jsonl",
        100,
        0.8,
    )
    assert (first.how.by, first.how.calibrate, first.how.examples.shots) == ("likelihood", "training", 8)
    assert (second.name, second.model, second.how.sampling.max_tokens) == ("zero-shot", "champion", 20)
    assert second.wording.answer == "{{ capital }}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tests: []", "at least one test"),
        ("test:\n  - a", "Line 1: the key 'test' is unknown"),
        ("tests:\n  - strategy: a\n    data: sst2:x\n", "'bar' is missing"),
        ("tests:\n  - strategy: a\n    data: sst2:x\n    bar: 80", "Line 4.*1 at most"),
        (
            "tests:\n  - strategy: a\n    data: sst2:x\n    colour: red\n    bar: 0.8",
            "Line 4.*'colour' is unknown",
        ),
        ("tests:\n  - data: sst2:x\n    bar: 0.8", "'strategy' is missing"),
        ("tests:\n  - strategy: a\n    data: x.jsonl\n    bar: 0.8", "names no data"),
        ("tests: [", "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_line(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(text)
    with pytest.raises(HoneError, match=why):
        read(file)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(HoneError, match="cannot be read"):
        read(Path("nowhere.yaml"))


@pytest.mark.parametrize(
    ("right", "items", "passed", "says"),
    [
        (95, 100, True, "the interval lies above it"),
        (82, 100, True, "more items are needed"),
        (50, 100, False, "the interval lies below it"),
        (78, 100, False, "it may be chance"),
        (80, 100, True, "more items are needed"),
    ],
)
def test_a_verdict_says_whether_the_interval_supports_it(
    tmp_path: Path, right: int, items: int, passed: bool, says: str
) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(FILE)
    verdict = judge(read(file)[0], cell(right, items))
    assert verdict.passed is passed
    assert says in verdict.sentence


def test_an_item_that_could_not_be_judged_is_never_a_pass(tmp_path: Path) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(FILE)
    verdicts = [judge(read(file)[0], one) for one in (cell(100, 101, failed=1), cell(0, 2, failed=2))]
    assert not any(verdict.passed for verdict in verdicts)
    assert "1 of 101 items could not be judged, the first because: too long" in verdicts[0].sentence
    assert not bars.all_pass(verdicts)


REWARDED = """\
tests:
  - strategy: zero-shot
    data: jsonl:questions.jsonl
    question: "{{ q }}"
    metric: reward:reward-1
    bar: %s
"""


@pytest.mark.parametrize(("bar", "passed"), [("-1.5", True), ("-0.25", False), ("2", False)])
def test_a_bar_for_rewards_is_any_number_of_nats(tmp_path: Path, bar: str, passed: bool) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(REWARDED % bar)
    (one,) = read(file)
    assert one.bar == float(bar)
    rewarded = replace(cell(1, 2), score=Interval(-0.5, -1.0, 0.25), unit=NATS)
    verdict = judge(one, rewarded)
    assert verdict.passed is passed
    assert "-0.500 (-1.000 to +0.250, 2 items)" in verdict.sentence


def test_a_share_has_no_bar_below_0(tmp_path: Path) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(FILE.replace("bar: 0.1", "bar: -0.1"))
    with pytest.raises(HoneError, match="0 at least"):
        read(file)
