"""From plain rows to an adapter: `hone data instruct`, the dataset it keeps, `hone train sft --data`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from app import cli
from assistant import base as bases
from assistant.base import Base
from assistant.engines.reply import vocabulary
from feedback import audit, datasets, splits
from feedback.datasets import Answered
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from prompts.plain import plain_messages
from tests import training_ground
from tests.training_ground import Ground
from training import data, rounds, runs, texts, trainers, worker
from training.data import Rendering, Row
from training.trainers import Hooks, Job


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def hone(on: Ground, *words: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, words), "--home", str(on.home.path)])


def told(on: Ground, *words: object) -> Any:
    found = hone(on, *words, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    file = tmp_path / "reviews.jsonl"
    rows = (
        {"text": f"Film {number} was {'fine' if number % 2 else 'dull'}.", "label": number % 2}
        for number in range(40)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "questions.csv"
    file.write_text("question,answer\n" + "".join(f"What is {n} and {n}?,{2 * n}\n" for n in range(20)))
    return file


def made(on: Ground, *words: object) -> datasets.Dataset:
    return datasets.get(on.store, told(on, "data", "instruct", *words)["dataset"]["id"])


def rendering(on: Ground) -> Rendering:
    template = bases.chat_template(on.base)
    words = vocabulary(bases.load_tokenizer(on.base), template, [])
    return Rendering(template, data.strategy_of(on.store, on.snapshot), words.ids, words.end_id)


def taught(on: Ground, dataset: datasets.Dataset, **changes: object) -> data.Taught:
    answered = datasets.answers(on.home, dataset)
    sides = splits.look(on.store, [one.split_key for one in answered])
    recipe = training_ground.recipe(on.base, method="sft", **changes)
    return data.teach(answered, sides, recipe, rendering(on))


def test_the_command_keeps_a_dataset_tells_what_is_in_it_and_what_to_do_next(
    on: Ground, reviews: Path, questions: Path, tmp_path: Path
) -> None:
    mix = tmp_path / "mix.yaml"
    mix.write_text(
        f"sources:\n  - {{file: {reviews.name}, task: sentiment}}\n"
        f"  - {{file: {questions.name}, task: qa, weight: 0.5}}\n"
    )
    shares = ("--few-shot", 0.25, "--inverted", 0.25, "--seed", 5)
    shown = hone(on, "data", "instruct", "--mix", mix, *shares)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].split() == ["source", "task", "rows", "of", "inverted", "few-shot", "templates"]
    assert lines[1].split()[:5] == ["reviews", "sentiment", "40", "40", "10"]
    assert lines[2].split()[:5] == ["questions", "qa", "10", "20", "2"]
    assert lines[3].split() == ["all", "50", "60", "12", "(24%)", "12", "(24%)"]
    assert [line[:3] for line in lines if line[:1] == "["] == ["[1]", "[2]", "[3]"]
    (dataset,) = datasets.listing(on.store)
    assert lines[-1] == f"Next: hone train sft --data {dataset.id}"
    assert (dataset.kind, dataset.name, dataset.rows) == ("answers", "mix.yaml", 50)
    assert dataset.id in hone(on, "data", "list").output
    assert made(on, "--mix", mix, *shares) == dataset
    assert made(on, "--mix", mix, *shares[:-1], 6).id != dataset.id
    recorded = next(one for one in audit.entries(on.store) if one.subject_id == dataset.id).detail["instruct"]
    assert (recorded["seed"], recorded["sources"][0]["file"]) == (5, reviews.name)
    for command in (
        ("data", "instruct"),
        ("data", "instruct", reviews),
        ("data", "instruct", reviews, "--mix", mix),
    ):
        assert hone(on, *command).exit_code == 2
    assert "Put it into" in hone(on, "data", "instruct", "--mix", mix, "--task", "qa").output


def test_two_steps_of_sft_on_it_make_a_candidate_that_predicts_held_out_answers_better(
    on: Ground, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made(on, reviews, "--task", "sentiment", "--few-shot", 0.2, "--inverted", 0.2)
    recipe = training_ground.recipe(
        on.base, method="sft", max_steps=2, batch=8, learning_rate=3e-2, evaluate=True
    )
    run = runs.create(on.store, LOCAL_USER, recipe, dataset.id)
    assert worker.claim(on.store, run.id)
    assert worker.run_to_end(worker.Seat(on.store, on.home, run.id)) == "done", capsys.readouterr().out
    run = runs.get(on.store, run.id)
    assert (run.source, run.step) == (f"dataset {dataset.id}", 2)
    assert run.candidate_id
    points = {(point.name, point.step): point.value for point in runs.metrics(on.store, run.id)}
    assert points["held_out_nats", 2] < points["held_out_nats", 0]
    log = capsys.readouterr().out
    assert "held out to measure on" in log
    steps = re.findall(r"step (\d+):(.*)", log)
    assert [number for number, _ in steps] == ["1", "2"]
    assert all("loss" in figures for _, figures in steps)
    assert "The gate says" in log
    # A round on votes may follow it: a dataset holds no pair that would have been learnt.
    assert rounds.learnt(on.store, run.candidate_id) == frozenset()


def test_the_loss_is_on_the_answer_alone_and_its_last_label_is_the_end_token(
    on: Ground, reviews: Path, tmp_path: Path
) -> None:
    found = taught(on, made(on, reviews, "--task", "sentiment", "--few-shot", 0.3))
    tokenizer = bases.load_tokenizer(on.base)
    recipe = training_ground.recipe(on.base, method="sft", max_steps=2)
    job = Job(bases.load_model(on.base), tokenizer, found.rows.rows, recipe, tmp_path / "run", None, "cpu")
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def look(_model: Any, _given: Any, named: dict[str, Any]) -> None:
        for ids, labels, real in zip(
            named["input_ids"], named["labels"], named["attention_mask"], strict=True
        ):
            seen.append((tuple(ids[real.bool()].tolist()), tuple(labels[real.bool()].tolist())))

    def measured(model: Any, _step: int, when: str) -> None:
        if when == "before":
            model.register_forward_pre_hook(look, with_kwargs=True)

    trainers.train_sft(job, Hooks(lambda *_: None, lambda *_: None, lambda *_: None), measured)
    by_ids = {(*row.prompt_ids, *row.chosen_ids): row for row in found.rows.rows}
    assert len(seen) == recipe.batch * recipe.accumulation * 2
    for ids, labels in seen:
        row = by_ids[ids]
        assert labels == (*(-100 for _ in row.prompt_ids), *row.chosen_ids)
        assert labels[-1] == rendering(on).end_id
        assert labels.count(rendering(on).end_id) == 1


def test_held_out_answers_are_measured_without_their_prompts(on: Ground, tmp_path: Path) -> None:
    rows = (Row((5, 6, 7), (8, 9), ()), Row((5, 6), (10, 11, 12), ()))
    job = Job(
        bases.load_model(on.base), bases.load_tokenizer(on.base), rows,
        training_ground.recipe(on.base, method="sft", max_steps=1), tmp_path / "run", None, "cpu",
    )  # fmt: skip
    found: list[tuple[float, float]] = []

    def measured(model: Any, _step: int, when: str) -> None:
        if when == "after":
            return
        by_hand = 0.0
        for row in rows:
            ids = torch.tensor([[*row.prompt_ids, *row.chosen_ids]])
            with torch.no_grad():
                said = model(input_ids=ids).logits[0].float().log_softmax(-1)
            first = len(row.prompt_ids)
            by_hand -= sum(float(said[first - 1 + n, token]) for n, token in enumerate(row.chosen_ids))
        found.append((texts.modelled(model, rows, 10).nats, by_hand / 5))

    trainers.train_sft(job, Hooks(lambda *_: None, lambda *_: None, lambda *_: None), measured)
    ((measured_nats, by_hand_nats),) = found
    assert measured_nats == pytest.approx(by_hand_nats, rel=1e-4)


def test_prompts_are_put_as_chat_puts_them_and_those_held_out_are_not_trained_on(
    on: Ground, reviews: Path
) -> None:
    dataset = made(on, reviews, "--task", "sentiment")
    answered = datasets.answers(on.home, dataset)
    found, how = taught(on, dataset), rendering(on)
    side = splits.look(on.store, [one.split_key for one in answered])
    parts: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    for one in answered:
        parts[side[one.split_key]].add(tuple(how.encode(how.template.text(plain_messages(one.turns)))))
    assert {row.prompt_ids for row in found.rows.rows} == parts[False]
    assert {row.prompt_ids for row in found.held_out} == parts[True]
    assert parts[True]
    fixed = on.store.rows("SELECT prompt_sha256 FROM prompt_splits")
    assert set(side) <= {row["prompt_sha256"] for row in fixed}


def test_rows_that_are_too_long_or_the_same_again_are_left_out_and_counted(on: Ground) -> None:
    said = [("q", "a"), ("q", "a"), ("q", "long " * 300), ("r", "b")]
    answered = [Answered((Turn("user", question),), answer) for question, answer in said]
    recipe = training_ground.recipe(on.base, method="sft", max_length=100)
    found = data.teach(answered, {one.split_key: False for one in answered}, recipe, rendering(on))
    assert (len(found.rows.rows), found.rows.repeated, found.rows.too_long, found.held_out) == (2, 1, 1, ())


@pytest.fixture
def _busy(on: Ground) -> None:
    training_ground.somebody_else_trains(on)


@pytest.mark.usefixtures("_busy")
def test_sft_takes_a_dataset_by_its_id_or_a_file_of_conversations_and_no_other_kind(
    on: Ground, reviews: Path, tmp_path: Path
) -> None:
    dataset = made(on, reviews, "--task", "sentiment")
    base = ("--detach", "--model", on.base.folder, "--quantize", "none")
    run = told(on, "train", "sft", "--data", dataset.id, *base)
    assert (run["dataset_id"], run["snapshot_id"]) == (dataset.id, None)
    chats = tmp_path / "chats.jsonl"
    said = (
        ("system", "Be kind."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Who?"),
        ("assistant", "I."),
    )
    chats.write_text(json.dumps({"id": 1, "messages": [{"role": r, "content": c} for r, c in said]}) + "\n")
    run = told(on, "train", "sft", "--data", chats, *base)
    kept = datasets.get(on.store, run["dataset_id"])
    turns = (Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "Who?"))
    assert datasets.answers(on.home, kept) == [Answered(turns, "I.", "Be kind.")]
    plain = tmp_path / "plain.txt"
    plain.write_text("Some text.")
    text = datasets.freeze_texts(on.store, on.home, LOCAL_USER, plain)
    for method, wrong, why in (
        ("sft", text.id, "holds text"), ("clm", dataset.id, "holds answers"),
        ("sft", "d_nothing", "no dataset d_nothing"), ("sft", tmp_path / "gone.jsonl", "no file"),
    ):  # fmt: skip
        refused = hone(on, "train", method, "--data", wrong, *base)
        assert refused.exit_code == 2
        assert why in refused.output
    half = tmp_path / "half.jsonl"
    half.write_text(chats.read_text().replace("Who?", "\\ud83d"))
    assert "half a character" in hone(on, "train", "sft", "--data", half, *base).output


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", '{"messages": []}', '{"messages": 3}', '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]}',
        '{"messages": [{"role": "user", "content": 1}, {"role": "assistant", "content": "b"}]}',
        '{"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}',
        '{"messages": [{"role": "system", "content": 1}, {"role": "user", "content": "a"}, '
        '{"role": "assistant", "content": "b"}]}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_conversation_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "chats.jsonl"
    whole = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    file.write_text(f"{whole}\n\n{line}\n")
    with pytest.raises(HoneError, match=r"Line 3 of chats\.jsonl"):
        datasets.read_answers(file)
