"""Plain text: datasets kept under their hash, blocks without padding, and a run that learns from them."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant import base as bases
from assistant.base import Base
from feedback import datasets
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import training_ground
from tests.training_ground import Ground
from training import runs, scratch, texts, worker


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def written(folder: Path, documents: list[str]) -> Path:
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps({"id": n, "text": one}) + "\n" for n, one in enumerate(documents)))
    return file


def test_the_same_text_is_the_same_dataset_and_a_damaged_one_says_so(on: Ground, tmp_path: Path) -> None:
    lines = datasets.freeze_texts(on.store, on.home, LOCAL_USER, written(tmp_path, ["One.", "Two."]))
    plain = tmp_path / "plain.txt"
    plain.write_text("One.\n\n\nTwo.\n")
    assert datasets.freeze_texts(on.store, on.home, LOCAL_USER, plain) == lines
    assert datasets.texts(on.home, lines) == ["One.", "Two."]
    (on.home.datasets / f"{lines.id}.jsonl").write_text("Three.")
    with pytest.raises(HoneError, match="damaged"):
        datasets.texts(on.home, lines)


@pytest.mark.parametrize(
    ("content", "said"), [("", "no text"), ('{"text": "a"}\n{"txt": 1}', "Line 2"), ('{"text": 3}', "Line 1")]
)
def test_a_file_without_text_is_refused_by_its_line(
    on: Ground, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "bad.jsonl").write_text(content)
    with pytest.raises(HoneError, match=said):
        datasets.freeze_texts(on.store, on.home, LOCAL_USER, tmp_path / "bad.jsonl")


@given(st.lists(st.text("abc ", min_size=1, max_size=30), min_size=1, max_size=9), st.integers(2, 16))
def test_blocks_hold_every_token_in_order_and_all_but_the_last_are_full(said: list[str], length: int) -> None:
    rows = texts.blocks(said, lambda text: [ord(one) for one in text], 0, length)
    whole = [token for one in said for token in (*map(ord, one), 0)]
    joined = [token for row in rows for token in row.chosen_ids]
    assert joined == whole[: len(joined)]
    assert len(whole) - len(joined) <= 1
    assert all(len(row.chosen_ids) == length for row in rows[:-1])


documents_of = st.text("ab ", max_size=20).map(str.strip).filter(bool)


@given(st.lists(documents_of, min_size=1, max_size=30))
def test_the_end_is_held_out_and_nothing_is_on_both_sides(documents: list[str]) -> None:
    parts = texts.split(documents)
    assert parts.train
    if len(documents) > 1:
        assert [*parts.train, *parts.held_out] == documents
        assert parts.held_out
    else:
        assert " ".join([*parts.train, *parts.held_out]) == documents[0]


def test_a_run_on_text_predicts_its_held_out_end_better_and_makes_a_candidate(
    on: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, ["the cat sat on the mat and the dog sat on the log"] * 60)
    dataset = datasets.freeze_texts(on.store, on.home, LOCAL_USER, file)
    recipe = training_ground.recipe(
        on.base, method="clm", epochs=4, max_length=32, batch=4, accumulation=1, learning_rate=1e-2,
        evaluate=True,
    )  # fmt: skip
    run = runs.create(on.store, LOCAL_USER, recipe, dataset.id)
    assert worker.claim(on.store, run.id)
    assert worker.run_to_end(worker.Seat(on.store, on.home, run.id)) == "done", capsys.readouterr().out
    run = runs.get(on.store, run.id)
    assert (run.source, run.snapshot_id) == (f"dataset {dataset.id}", None)
    assert run.candidate_id
    points = {(point.name, point.step): point.value for point in runs.metrics(on.store, run.id)}
    before, after = points["held_out_nats", 0], points["held_out_nats", run.step]
    assert after < before - 0.5
    assert math.isclose(points["perplexity", 0], math.exp(before))
    assert points["bits_per_byte", run.step] < points["bits_per_byte", 0]
    assert "The gate says" in capsys.readouterr().out


def test_a_model_from_nothing_starts_at_ln_v_learns_and_is_a_base_like_any_other(
    tiny_base: Base, home: Home, tmp_path: Path
) -> None:
    tokenizer = bases.load_tokenizer(tiny_base)
    documents = ["the cat sat on the mat and the dog sat on the log"] * 200
    out = tmp_path / "small"
    told = scratch.learn(documents, tokenizer, scratch.Size(1, 32), scratch.Until(2.0), out, lambda *_: None)
    assert math.isclose(told.losses[0], told.guessing, rel_tol=0.1)
    assert told.before
    assert told.after
    assert told.after.nats < told.before.nats - 0.5
    made = bases.resolve(home, bases.BaseChoice(str(out), "none"))
    assert bases.load_model(made).config.n_layer == 1
    with pytest.raises(HoneError, match="not empty"):
        scratch.learn(documents, tokenizer, scratch.Size(), scratch.Until(1.0), out, lambda *_: None)


def test_the_same_steps_from_nothing_learn_the_same(tiny_base: Base, tmp_path: Path) -> None:
    tokenizer = bases.load_tokenizer(tiny_base)
    documents = ["the cat sat on the mat and the dog sat on the log"] * 200
    one, other = (
        scratch.learn(
            documents, tokenizer, scratch.Size(1, 32), scratch.Until(60, 3), tmp_path / name, lambda *_: None
        )
        for name in ("one", "other")
    )
    assert len(one.losses) == 3
    assert one.losses == other.losses


def test_text_is_not_looked_for_in_a_snapshot(on: Ground) -> None:
    recipe = training_ground.recipe(on.base, method="clm")
    with pytest.raises(HoneError, match="plain text"):
        runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id)


@pytest.mark.parametrize("width", [65, 67, 100])
def test_a_model_from_nothing_may_have_any_width(tiny_base: Base, tmp_path: Path, width: int) -> None:
    tokenizer, documents = bases.load_tokenizer(tiny_base), ["the cat sat on the mat"] * 200
    until, out = scratch.Until(60, 1), tmp_path / "new"
    scratch.learn(documents, tokenizer, scratch.Size(1, width), until, out, lambda *_: None)
    assert json.loads((out / "config.json").read_text("utf-8"))["n_embd"] == width
