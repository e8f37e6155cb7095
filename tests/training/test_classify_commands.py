"""`hone train classify`, `hone data labels` and `hone classify` as a person types them, on a tiny model."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import app
from assistant.base import Base
from feedback.command_line import open_store
from feedback.home import Home
from feedback.ids import LOCAL_USER
from training import recipes, runs, worker
from training.classify import begin, heads


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


def kept(home: Home, base: Base, file: Path, name: str) -> None:
    """A classifier in the home, by a run that is done in this process."""
    store = open_store(home)
    recipe = recipes.from_mapping(
        {"model": str(base.folder), "quantize": "none", "wording": "plain", "called": name},
        recipes.load("classify-frozen"),
    )
    data_id = begin.dataset(store, home, LOCAL_USER, str(file)).id
    run = begin.create(store, home, LOCAL_USER, recipe, begin.Wanted(data_id))
    assert worker.claim(store, run.id)
    assert worker.run_to_end(worker.Seat(store, home, run.id)) == "done"


def test_a_classifier_is_trained_by_a_run_listed_and_asked(home: Home, tiny_base: Base, texts: Path) -> None:
    test = written(home.path.parent / "test.jsonl", 30, first=100)
    done = trained(home, tiny_base, texts, "--test", str(test))
    assert done.exit_code == 0, done.output
    assert "Next: hone classify animals-frozen" in done.stdout
    assert "test, 30 texts: accuracy" in done.stdout
    assert "animals-frozen" in call(home, "classify", "--list").stdout
    said = call(home, "classify", "animals-frozen", "7 times the cat", "8 times the dog")
    assert [line.split("\t")[0] for line in said.stdout.splitlines()] == ["feline", "canine"]
    assert "classify 1/1" in call(home, "runs", "list").stdout
    shown = call(home, "runs", "show", "latest")
    assert shown.stdout in done.stdout
    told = json.loads(call(home, "runs", "show", "latest", "--json").stdout)
    assert told["classifier"]["run_id"] == told["run"]["id"]
    assert told["run"]["recipe"]["adapt"] == "frozen"


def test_labelled_texts_are_kept_once_and_trained_on_by_their_id(home: Home, texts: Path) -> None:
    said = call(home, "data", "labels", str(texts))
    assert "24 texts, labels canine, feline" in said.stdout
    dataset = json.loads(call(home, "data", "labels", str(texts), "--json").stdout)
    assert f"Next: hone train classify --data {dataset['id']}" in said.stdout
    assert f"{dataset['id']}  labels" in call(home, "data", "list").stdout


def test_texts_come_as_arguments_lines_and_files_alike(home: Home, tiny_base: Base, texts: Path) -> None:
    kept(home, tiny_base, texts, "pets")
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


def test_the_same_name_twice_is_refused_before_anything_is_queued(
    home: Home, tiny_base: Base, texts: Path
) -> None:
    kept(home, tiny_base, texts, "pets")
    again = trained(home, tiny_base, texts, "--name", "pets")
    assert (again.exit_code, "There is a classifier pets already" in again.stderr) == (2, True)
    kept(home, tiny_base, texts, "")
    kept(home, tiny_base, texts, "")
    names = [info.name for info in heads.listing(home)]
    assert names == ["pets", "animals-frozen", "animals-frozen-2"]
    assert len(runs.listing(open_store(home))) == 3


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
        (["train", "classify", "--data", "DATA", "--set", "accumulation=2"], "accumulation must be 1"),
        (["train", "classify", "--data", "DATA", "--preset", "sft"], "The recipe sft is for sft"),
        (
            ["train", "classify", "--data", "DATA", "--adapt", "frozen", "--launch", "cpu-2"],
            "A classifier on a frozen trunk is trained by one process.",
        ),
        (["train", "classify", "--data", "DATA", "--from", "nobody"], "There is no model version nobody"),
        (["train", "classify", "--data", "d_nothing"], "There is no dataset d_nothing"),
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
    assert runs.listing(open_store(home)) == []


def test_an_empty_text_and_no_text_are_refused(home: Home, tiny_base: Base, texts: Path) -> None:
    kept(home, tiny_base, texts, "pets")
    assert "nothing to classify" in call(home, "classify", "pets", lines="\n \n").stderr
    assert "Text 2 is empty" in call(home, "classify", "pets", "fine", " ").stderr
    both = call(home, "classify", "pets", "fine", "--file", str(texts))
    assert "do not go together" in both.stderr
