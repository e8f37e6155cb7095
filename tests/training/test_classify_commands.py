"""`hone train classify` and `hone classify` as a person types them, on a tiny model."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import app
from assistant.base import Base
from feedback.home import Home
from training.classify import heads


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return written(tmp_path / "animals.jsonl", 24)


def written(file: Path, count: int, first: int = 0) -> Path:
    rows = [
        {"text": f"{at} times {('the dog', 'the cat')[at % 2]}", "label": ("canine", "feline")[at % 2]}
        for at in range(first, first + count)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return file


def call(home: Home, *words: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(app.cli, [*words, "--home", str(home.path)], input=lines)


def trained(home: Home, base: Base, file: Path, *more: str) -> Result:
    return call(
        home, "train", "classify", "--data", str(file), "--adapt", "frozen", "--wording", "plain",
        "--model", str(base.folder), "--quantize", "none", *more,
    )  # fmt: skip


def test_a_classifier_is_trained_listed_and_asked(home: Home, tiny_base: Base, texts: Path) -> None:
    report = home.path.parent / "report.html"
    test = written(home.path.parent / "test.jsonl", 30, first=100)
    done = trained(home, tiny_base, texts, "--test", str(test), "--report", str(report))
    assert done.exit_code == 0, done.output
    assert "Next: hone classify animals-frozen" in done.stdout
    assert "test, 30 texts: accuracy" in done.stdout
    assert "<svg" in report.read_text("utf-8")
    assert "animals-frozen" in call(home, "classify", "--list").stdout
    said = call(home, "classify", "animals-frozen", "7 times the cat", "8 times the dog")
    assert [line.split("\t")[0] for line in said.stdout.splitlines()] == ["feline", "canine"]


def test_texts_come_as_arguments_lines_and_files_alike(home: Home, tiny_base: Base, texts: Path) -> None:
    assert trained(home, tiny_base, texts, "--name", "pets").exit_code == 0
    plain = home.path / "plain.txt"
    plain.write_text("7 times the cat\n\n8 times the dog\n", "utf-8")
    rows = written(home.path / "rows.jsonl", 2)
    found = [
        json.loads(result.stdout)["guesses"]
        for result in (
            call(home, "classify", "pets", "7 times the cat", "8 times the dog", "--json"),
            call(home, "classify", "pets", "--json", lines="7 times the cat\n8 times the dog\n"),
            call(home, "classify", "pets", "--file", str(plain), "--json"),
        )
    ]
    assert found[0] == found[1] == found[2]
    assert set(found[0][0]["shares"]) == {"canine", "feline"}
    of_rows = json.loads(call(home, "classify", "latest", "--file", str(rows), "--json").stdout)
    assert [guess["text"] for guess in of_rows["guesses"]] == ["0 times the dog", "1 times the cat"]


def test_the_same_name_twice_is_refused_before_anything_is_trained(
    home: Home, tiny_base: Base, texts: Path
) -> None:
    assert trained(home, tiny_base, texts, "--name", "pets").exit_code == 0
    again = trained(home, tiny_base, texts, "--name", "pets")
    assert (again.exit_code, "There is a classifier pets already" in again.stderr) == (2, True)
    assert "to learn from" not in again.stderr
    assert trained(home, tiny_base, texts).exit_code == trained(home, tiny_base, texts).exit_code == 0
    names = [info.name for info in heads.listing(home)]
    assert names == ["pets", "animals-frozen", "animals-frozen-2"]
    left = [file.name for file in heads.folder_of_all(home).iterdir() if file.name.startswith(".")]
    assert left == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["classify", "nobody", "a text"], "There is no classifier 'nobody'"),
        (["train", "classify", "--data", "nowhere.jsonl"], "There is no data file nowhere.jsonl"),
        (["train", "classify", "--data", "DATA", "--epochs", "0"], "epochs must be above 0"),
        (["train", "classify", "--data", "DATA", "--name", "../up"], "is no name for a classifier"),
        (["train", "classify", "--data", "DATA", "--wording", "some"], "'some' is no wording"),
        (["train", "classify", "--data", "EMPTY"], "It has no rows"),
        (["train", "classify", "--data", "BAD"], "Line 2 is no JSON"),
        (
            ["train", "classify", "--data", "DATA", "--test", "OTHER"],
            "label is 'bird', not one of canine, feline",
        ),
        (["train", "classify", "--data", "DATA", "--test", "DATA"], "Every text is in the test data"),
        (["train", "classify", "--data", "OTHER"], "All texts carry one label, bird"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    home: Home, tiny_base: Base, texts: Path, words: list[str], said: str
) -> None:
    made = {"DATA": texts, "EMPTY": texts.with_name("empty.jsonl"), "BAD": texts.with_name("bad.jsonl")}
    made["OTHER"] = texts.with_name("other.jsonl")
    made["EMPTY"].write_text("", "utf-8")
    made["BAD"].write_text('{"text": "a", "label": "b"}\n{"text": \n', "utf-8")
    made["OTHER"].write_text('{"text": "a", "label": "bird"}\n{"text": "b", "label": "bird"}\n', "utf-8")
    model = ["--model", str(tiny_base.folder), "--quantize", "none"] if words[0] == "train" else []
    found = call(home, *[str(made.get(word, word)) for word in words], *model)
    assert found.exit_code == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert heads.listing(home) == []


def test_an_empty_text_and_no_text_are_refused(home: Home, tiny_base: Base, texts: Path) -> None:
    assert trained(home, tiny_base, texts, "--name", "pets").exit_code == 0
    assert "nothing to classify" in call(home, "classify", "pets", lines="\n \n").stderr
    assert "Text 2 is empty" in call(home, "classify", "pets", "fine", " ").stderr
    both = call(home, "classify", "pets", "fine", "--file", str(texts))
    assert "do not go together" in both.stderr
