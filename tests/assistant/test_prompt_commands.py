"""`hone prompts evaluate` and `hone prompts test`, on a tiny real model."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import cli
from assistant.base import Base
from feedback.home import Home
from tests.evaluation_ground import jsonl, reviews, sums


@pytest.fixture
def on(home: Home, tiny_base: Base) -> tuple[str, ...]:
    """Options that name the home and the tiny base."""
    base = ("--base", str(tiny_base.folder), "--quantize", "none", "--engine", "transformers")
    return ("--home", str(home.path), *base)


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["prompts", *words])


def test_strategies_are_measured_and_reported_in_every_way(on: tuple[str, ...], tmp_path: Path) -> None:
    dev, train = reviews(tmp_path / "dev.jsonl", 6), reviews(tmp_path / "train.jsonl", 20)
    reports = [tmp_path / f"report.{kind}" for kind in ("html", "json", "csv")]
    found = call(
        "evaluate", "--strategy", "zero-shot", "--strategy", "few-shot:shots=2,choose=nearest",
        "--data", f"sst2:{dev}", "--train", f"sst2:{train}", "--limit", "4", "--calibrate",
        *(word for file in reports for word in ("--out", str(file))), *on,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "few-shot:shots=2,choose=nearest" in found.stdout
    assert "likelihood, calibrated by nothing" in found.stdout
    assert "2 of the dataset, nearest" in found.stdout
    html, told, rows = (file.read_text("utf-8") for file in reports)
    assert "Every answer" in html
    data = json.loads(told)
    assert [len(cell["outcomes"]) for cell in data["cells"]] == [4, 4]
    assert len(data["tests"]) == 1
    assert len(list(csv.DictReader(io.StringIO(rows)))) == 8


def test_answers_are_written_and_the_second_time_read(on: tuple[str, ...], tmp_path: Path) -> None:
    words = ("evaluate", "--strategy", "zero-shot", "--data", f"gsm8k:{sums(tmp_path / 't.jsonl', 3)}",
             "--max-tokens", "8", "--json", *on)  # fmt: skip
    first, second = (json.loads(call(*words).stdout) for _ in range(2))
    first.pop("made_at")
    second.pop("made_at")
    assert first == second  # the seconds too: they are those of the first time
    (cell,) = first["cells"]
    assert cell["by"] == "generation"
    assert all(outcome["prompt"] and outcome["written_tokens"] for outcome in cell["outcomes"])


def test_what_was_measured_is_what_auto_chooses_by(on: tuple[str, ...], tmp_path: Path) -> None:
    seen = f"gsm8k:{sums(tmp_path / 'seen.jsonl', 8)}"
    new = f"gsm8k:{sums(tmp_path / 'new.jsonl', 3, first=50)}"
    few = ("--max-tokens", "4", *on)
    alone = call("evaluate", "--strategy", "auto", "--data", new, *few)
    assert alone.exit_code == 0, alone.output
    assert "3 sums: zero-shot, because nothing is measured yet of sums" in alone.stdout
    assert "Kept for auto" not in alone.stdout
    measured = call("evaluate", "--strategy", "zero-shot", "--strategy", "chain", "--data", seen, *few)
    assert "Kept for auto, which chooses by them: 16 measures." in measured.stdout
    found = call("evaluate", "--strategy", "auto", "--data", new, "--json", *few)
    (cell,) = json.loads(found.stdout)["cells"]
    # This model knows nothing: no strategy of it is better than another.
    assert cell["chosen"] == [
        "3 sums: zero-shot, because for sums, the one strategy measured is not surely better."
    ]
    assert (cell["column"], cell["version"]) == ("auto", "auto")
    home = ("--home", on[1])
    told = call("auto", "Ann has 3 pens and buys 2 more. How many has she?", *home)
    assert told.exit_code == 0, told.output
    assert "sum       zero-shot              Auto chose Zero-shot: for sums, the one strategy" in told.stdout
    kinds = json.loads(call("auto", "--json", *home).stdout)["choices"]
    assert [one["kind"] for one in kinds][:2] == ["sum", "yes-no"]


def test_a_strategy_can_be_a_file_that_the_store_does_not_know(on: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "curt.jinja"
    file.write_text(
        "---\ntitle: Curt\ndescription: Curt.\nvariables: [question]\n---\n"
        '{% message "user" %}{{ question }} One word.{% endmessage %}'
    )
    data = f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"
    found = call("evaluate", "--strategy", str(file), "--data", data, "--json", *on)
    assert found.exit_code == 0, found.output
    assert "One word." in json.loads(found.stdout)["cells"][0]["outcomes"][0]["prompt"]
    assert "Kept for auto" not in call("evaluate", "--strategy", str(file), "--data", data, *on).stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--data", "sst2:nowhere.jsonl"), "There is no data file nowhere.jsonl."),
        (("--data", "squad:x.jsonl"), "names no data"),
        (("--data", "{sst2}", "--out", "report.pdf"), "Its ending says no kind."),
        (("--data", "{sst2}", "--out", "nowhere/report.html"), "Its folder is missing."),
        (("--data", "{sst2}", "--metric", "bleu", "--by", "generation"), "There is no metric 'bleu'."),
        (("--data", "{sst2}", "--strategy", "no-shot"), "There is no strategy called no-shot."),
        (("--data", "{sst2}", "--strategy", "few-shot:colour=red"), "A column cannot have colour=red."),
        (("--data", "{sst2}", "--model", "nobody"), "There is no model version nobody."),
        (
            ("--data", "{sst2}", "--strategy", "chain", "--by", "likelihood"),
            "cannot be measured by likelihood",
        ),
        (("--data", "{sst2}", "--strategy", "few-shot", "--shots", "3"), "no training part"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(
    on: tuple[str, ...], tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    data = f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"
    found = call("evaluate", *(word.replace("{sst2}", data) for word in words), *on)
    assert found.exit_code == 2
    assert why in found.stderr
    assert "Traceback" not in found.output


BARS = """\
tests:
  - name: easy
    strategy: zero-shot
    data: sst2:dev.jsonl
    bar: 0
  - name: hard
    strategy: zero-shot
    data: jsonl:letters.jsonl
    question: "{{ q }}"
    metric: "regex:^never this$"
    max_tokens: 4
    bar: %s
"""


@pytest.mark.parametrize(("bar", "code"), [("0", 0), ("0.5", 1)])
def test_a_version_below_its_bar_ends_with_exit_1(
    on: tuple[str, ...], tmp_path: Path, bar: str, code: int
) -> None:
    reviews(tmp_path / "dev.jsonl", 4)
    jsonl(tmp_path / "letters.jsonl", [{"q": letter} for letter in "abc"])
    file = tmp_path / "bars.yaml"
    file.write_text(BARS % bar)
    found = call("test", str(file), *on)
    assert found.exit_code == code, found.output
    assert f"{2 - code} of 2 pass." in found.stdout
    if code:
        assert "hard: fails; 0.000 (0.000 to 0.561, 3 items) is below the bar 0.5" in found.stdout
        assert "it may be chance" in found.stdout


def test_a_server_on_the_same_home_is_told_of(on: tuple[str, ...], home: Home, tmp_path: Path) -> None:
    from assistant.serving import claimed

    with claimed(home):
        data = f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"
        found = call("evaluate", "--strategy", "zero-shot", "--data", data, *on)
    assert found.exit_code == 0, found.output
    assert "A server runs on this home." in found.stderr
