"""`hone prompts optimise`, on a tiny real model: what it asks for, what it leaves, what it says."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import cli
from assistant.base import Base
from feedback.command_line import open_store
from feedback.home import Home
from prompts import labels, library
from tests.evaluation_ground import reviews

LINE = """---
title: Line
variables: [instruction, examples, question]
examples: [{question: fine, answer: positive}]
---
{% if instruction %}{% message "system" %}{{ instruction }}{% endmessage %}{% endif %}
{% for one in examples %}{% message "user" %}{{ one.question }}{% endmessage %}
{% message "assistant" %}{{ one.answer }}{% endmessage %}{% endfor %}
{% message "user" %}{{ question }}{% endmessage %}
"""


@pytest.fixture
def on(home: Home, tiny_base: Base) -> tuple[str, ...]:
    """Options that name the home and the tiny base."""
    base = ("--base", str(tiny_base.folder), "--quantize", "none", "--engine", "transformers")
    return ("--home", str(home.path), *base)


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["prompts", "optimise", *words])


@pytest.fixture
def line(tmp_path: Path) -> str:
    (tmp_path / "line.jinja").write_text(LINE, encoding="utf-8")
    return str(tmp_path / "line.jinja")


def test_a_search_says_what_it_found_and_proves_it_on_other_items(
    on: tuple[str, ...], line: str, home: Home, tmp_path: Path
) -> None:
    dev, train = reviews(tmp_path / "dev.jsonl", 20), reviews(tmp_path / "train.jsonl", 80)
    report = tmp_path / "evidence.json"
    found = call(
        "--strategy", line, "--data", f"sst2:{dev}", "--train", f"sst2:{train}", "--questions", "200",
        "--limit", "10", "--out", str(report), "--json", *on,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["questions"] <= 200
    assert told["candidates"][0]["items"] >= 16
    assert told["held_out"]["against"][0]["items"] == 10
    assert [len(cell["outcomes"]) for cell in json.loads(report.read_text("utf-8"))["cells"]] == [10, 10]
    store = open_store(home)
    if told["verdict"] in ("better", "not sure"):
        record = library.record(store, told["version"])
        assert (record.origin, record.labels, record.name) == ("search", ("draft",), "line")
        assert record.note.startswith("Found by a search: ")
        assert dict(library.get(store, record.id).strategy.files) == told["files"]
    else:
        assert told["version"] is None
        assert "line" not in library.all_names(store)


def test_a_search_from_a_version_of_the_library_leaves_a_draft_of_it(
    on: tuple[str, ...], home: Home, tmp_path: Path
) -> None:
    """Production stays as it is. The seeds are tried until one finds something."""
    data = reviews(tmp_path / "all.jsonl", 90)
    for seed in range(8):
        found = call("--data", f"sst2:{data}", "--questions", "150", "--seed", str(seed), *on)
        assert found.exit_code == 0, found.output
        store = open_store(home)
        if (draft := labels.draft(store, "few-shot")) is not None:
            break
    assert draft is not None
    assert f"{draft} is the draft of few-shot." in found.stdout
    proven = "It is better than every start" in found.stdout
    assert (f"label few-shot production {draft}" in found.stdout) == proven
    record = library.record(store, draft)
    assert record.parent_id == labels.in_production(store, "few-shot") != draft


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "There is nothing to search on."),
        (("--votes", "--data", "sst2:{data}"), "Votes and data are two searches."),
        (("--votes",), "There are too few votes to search on."),
        (("--strategy", "zero-shot", "--data", "sst2:{data}"), "There is nothing to search in zero-shot."),
        (("--data", "sst2:{few}"), "too little to search on"),
        (("--name", "No Name", "--data", "sst2:{data}"), "cannot be a strategy's name"),
        (("--data", "sst2:{data}", "--out", "found.txt"), "No report can be written"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(
    on: tuple[str, ...], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    files = {"data": reviews(tmp_path / "a.jsonl", 80), "few": reviews(tmp_path / "b.jsonl", 10)}
    found = call(*(word.format(**files) for word in words), *on)
    assert found.exit_code == 2
    assert said in found.stderr
    assert "Traceback" not in found.output
