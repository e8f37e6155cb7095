"""The report: numbers for programs and people, and a page that needs nothing else."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from feedback.statistics import wilson
from prompts.evaluation.columns import Cell, Outcome
from prompts.evaluation.report import Report, as_csv, as_json, report, table
from prompts.evaluation.report_page import page
from prompts.evaluation.statistics import mean
from prompts.evaluation.units import NATS
from tests import browser

HOSTILE = '</script><img src=x onerror="document.title=1">{{ x }}'


def outcome(number: int, right: bool, said: str = "yes") -> Outcome:
    return Outcome(
        f"i{number}", f"Question {number}?", "yes", float(right), f"Shown to all. Question {number}?",
        said, said,
        written_tokens=3, prompt_tokens=20, calls=1, seconds=0.5,
    )  # fmt: skip


def cell(column: str, rights: list[bool], dataset: str = "gsm8k:test.jsonl") -> Cell:
    outcomes = tuple(outcome(number, right) for number, right in enumerate(rights))
    score = wilson(sum(rights), len(rights))
    return Cell(
        column, "pv_1", "base-1", dataset, "generation", "no", "none", "exact", "It is.", outcomes, score
    )


@pytest.fixture
def found() -> Report:
    first = cell("zero-shot", [True] * 2 + [False] * 8)
    second = cell("few-shot", [True] * 10)
    hostile = replace(cell(f"mean {HOSTILE}", [True, False], "other:x.jsonl"))
    hostile = replace(
        hostile,
        outcomes=(outcome(0, True, HOSTILE), replace(outcome(1, False), value=None, error="too long")),
    )
    return report([first, second, hostile], "2026-01-02T03:04:05.000Z", "hone prompts evaluate ...")


def test_any_two_columns_on_the_same_data_are_tested_and_no_others(found: Report) -> None:
    (test,) = found.tests
    assert (test.a, test.b, test.paired.better, test.paired.worse) == ("zero-shot", "few-shot", 8, 0)
    assert test.sentence.startswith("few-shot is better than zero-shot on gsm8k:test.jsonl: +80.0 points")


def test_items_that_one_column_could_not_judge_are_left_out_of_the_test() -> None:
    first, second = cell("a", [True, False, True]), cell("b", [True, True, True])
    broken = replace(second, outcomes=(replace(second.outcomes[0], value=None), *second.outcomes[1:]))
    assert report([first, broken], "").tests[0].paired.items == 2


def test_the_table_names_scores_intervals_failures_and_cost(found: Report) -> None:
    lines = table(found).splitlines()
    assert "0.200" in lines[2]
    assert "0.057-0.510" in lines[2]
    assert "5.0" in lines[2]
    assert "1 (1 failed)" in lines[4]


def test_answers_that_were_cut_off_are_counted_beside_the_items(found: Report) -> None:
    first = found.cells[0]
    cut = replace(first, outcomes=tuple(replace(one, ended=False) for one in first.outcomes))
    shown = replace(found, cells=(cut, *found.cells[1:]))
    assert "10 (10 cut off)" in table(shown)
    assert "cut off" not in table(found)
    assert "<em>(10 cut off)</em>" in page(shown)
    assert json.loads(as_json(shown))["cells"][0]["cut_off"] == 10


def test_json_and_csv_hold_every_answer_with_its_exact_prompt(found: Report) -> None:
    data = json.loads(as_json(found))
    assert data["cells"][1]["score"]["value"] == 1.0
    assert data["cells"][0]["seconds"] == 5.0
    assert data["tests"][0]["paired"]["p"] < 0.01
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(rows) == 22
    assert rows[3]["prompt"] == "Shown to all. Question 3?"
    assert rows[-1]["value"] == ""
    assert rows[-1]["error"] == "too long"


def test_a_spreadsheet_takes_no_answer_for_a_formula() -> None:
    evil = replace(cell("a", [True]), outcomes=(outcome(0, True, '=HYPERLINK("x")'),))
    row = next(csv.DictReader(io.StringIO(as_csv(report([evil], "")))))
    assert row["said"] == '\'=HYPERLINK("x")'


def test_the_page_needs_nothing_else_and_no_text_becomes_markup(found: Report) -> None:
    html = page(found)
    assert "<img" not in html
    assert html.count("</script>") == 2
    assert "http" not in html.replace("http-equiv", "")
    assert "20.0%" in html
    assert "5.7% to 51.0%" in html


def rewarded(column: str, rewards: list[float]) -> Cell:
    outcomes = tuple(
        replace(outcome(number, True), value=reward, gold="", read="3 tokens")
        for number, reward in enumerate(rewards)
    )
    return replace(
        cell(column, [True], "jsonl:chat.jsonl"), outcomes=outcomes, score=mean(rewards, NATS), unit=NATS,
        metric="reward:reward-1", rule="What it gives.",
    )  # fmt: skip


@pytest.fixture
def rewards() -> Report:
    plain = [-2.0 + 0.1 * number for number in range(12)]
    return report([rewarded("zero-shot", plain), rewarded("chain", [one + 1.25 for one in plain])], "")


def test_rewards_are_told_in_nats_and_never_as_shares_or_points(rewards: Report) -> None:
    (test,) = rewards.tests
    assert test.sentence.startswith(
        "chain is rewarded more than zero-shot on jsonl:chat.jsonl: +1.250 nats (+1.250 to +1.250), "
        "12 items higher, 0 lower of 12"
    )
    lines = table(rewards).splitlines()
    assert "reward" in lines[0]
    assert "right" not in lines[0]
    assert "-1.450  -1.642 to -1.258" in lines[2]
    html = page(rewards)
    assert "Mean reward in nats" in html
    assert "-1.45</b><small>-1.64 to -1.26" in html
    assert "+1.250 nats (+1.250 to +1.250)" in html
    assert "%</b>" not in html
    assert "points" not in html


def test_rewards_are_drawn_between_the_ends_of_their_dataset(rewards: Report) -> None:
    far = replace(rewarded("zero-shot", [90.0, 91.0]), dataset="jsonl:far.jsonl")
    places = [
        [float(one) for one in found]
        for found in re.findall(
            r"--low:(.+?);--high:(.+?);--value:(.+?)\"", page(report([*rewards.cells, far], ""))
        )
    ]
    assert all(0 <= low <= value <= high <= 1 for low, high, value in places)
    assert (places[0][0], places[1][1]) == (0.0, 1.0)
    assert (places[2][0], places[2][1]) == (0.0, 1.0)


def test_rewards_have_their_unit_in_what_programs_read(rewards: Report) -> None:
    data = json.loads(as_json(rewards))
    assert {one["unit"] for one in (*data["cells"], *data["tests"])} == {"nats"}
    assert data["cells"][0]["score"]["value"] == pytest.approx(-1.45)
    row = next(csv.DictReader(io.StringIO(as_csv(rewards))))
    assert (row["metric"], row["unit"], row["value"], row["ended"]) == (
        "reward:reward-1", "nats", "-2.0", "True",
    )  # fmt: skip


def test_shares_and_rewards_of_the_same_data_are_not_compared(rewards: Report) -> None:
    right = cell("few-shot", [True, False], "jsonl:chat.jsonl")
    both = report([rewards.cells[0], right], "")
    assert both.tests == ()
    assert "reward or right" in table(both)


@pytest.mark.browser
def test_answers_can_be_put_in_the_order_of_their_rewards(rewards: Report, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(rewards), encoding="utf-8")
    with browser.page(width=390, height=800) as shown:
        shown.goto(file.as_uri())
        assert shown.locator("#which option").all_inner_texts() == [
            "all", "lowest first", "highest first", "not judged",
        ]  # fmt: skip
        first = shown.locator("#rows summary").first
        assert first.inner_text().startswith("-2.00")
        shown.select_option("#which", "high")
        assert first.inner_text().startswith("-0.90")
        shown.select_option("#cell", "1")
        assert first.inner_text().startswith("+0.35")
        shown.select_option("#which", "failed")
        assert shown.locator("#count").inner_text() == "0 of 12"
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390


CONTRASTS = """() => [0, 0.3, 0.55, 0.75, 0.9, 1].map((share) => {
  const cell = document.querySelector(".heat");
  cell.style.setProperty("--share", share);
  const parts = (color) => color.match(/[0-9.]+/g).map(Number);
  const ground = parts(getComputedStyle(document.body).backgroundColor);
  const [r, g, b, alpha = 1] = parts(getComputedStyle(cell).backgroundColor);
  const over = [r, g, b].map((part, at) => part * alpha + ground[at] * (1 - alpha));
  const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.slice(0, 3).map((c) => linear(c / 255))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const [high, low] = [light(over), light(parts(getComputedStyle(cell).color))].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
})"""
"""Of a cell of the heat map, at scores from none to all: its ink on its ground."""


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_answers_can_be_filtered_and_opened_in_a_browser(found: Report, tmp_path: Path, dark: bool) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(found), encoding="utf-8")
    with browser.page(width=390, height=800, dark=dark) as shown:
        shown.goto(file.as_uri())
        assert shown.locator("#rows details").count() == 10
        assert min(shown.evaluate(CONTRASTS)) >= 4.5  # WCAG AA
        shown.select_option("#which", "wrong")
        assert shown.locator("#count").inner_text() == "8 of 10"
        shown.fill("#find", "Question 7")
        shown.locator("#rows summary").click()
        shown.locator("#rows pre").last.wait_for()
        assert "Shown to all. Question 7?" in shown.locator("#rows dl").inner_text()
        shown.fill("#find", "")
        shown.select_option("#cell", "2")
        shown.select_option("#which", "all")
        assert "onerror" in shown.locator("#rows").inner_text()
        assert shown.title() == "Prompts, evaluated"
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
