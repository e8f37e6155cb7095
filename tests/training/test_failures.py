"""What goes wrong in a run is told in words, with what to try."""

import dataclasses
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from assistant import base as bases
from assistant.base import Base
from feedback import full_disc
from feedback.command_line import HoneGroup
from feedback.errors import FullDiscError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import training_ground
from tests.training_ground import Ground, finished, wait
from training import commands, data, divergence, runs, trainers, worker
from training.page.train import run_html
from training.recipes import Recipe


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def started(on: Ground, **changes: object) -> runs.Run:
    recipe = dataclasses.replace(on.recipe, **changes)
    return runs.start(on.home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id)


def hone(on: Ground, *words: str) -> str:
    group = HoneGroup("hone", commands={"runs": commands.runs_group})
    return CliRunner().invoke(group, ["runs", *words, "--home", str(on.home.path)]).output


ROWS = tuple(
    data.Row((5, 6, 7 + number), (20, 21, 22, 30 + number % 7, 1), (20, 21, 22, 30 + (number + 1) % 7, 1))
    for number in range(28)
)
"""Answers that differ in one token: what lowers the rejected one lowers the chosen one too."""


def learnt(on: Ground, recipe: Recipe, start: Path | None, watched: trainers.Hooks) -> Path:
    """The adapter of a training on ROWS, in this process."""
    rows = ROWS if recipe.method == "dpo" else [dataclasses.replace(row, rejected_ids=()) for row in ROWS]
    model, tokenizer = bases.load_model(on.base), bases.load_tokenizer(on.base)
    train = trainers.train_dpo if recipe.method == "dpo" else trainers.train_sft
    folder = on.home.path / f"{recipe.method}-{len(recipe.losses)}"
    return train(trainers.Job(model, tokenizer, rows, recipe, folder, start, "cpu"), watched)


def ignore(_step: int, _found: object) -> None:
    """A training that nobody watches."""


def test_chosen_answers_that_fall_are_warned_of_and_the_sft_term_holds_them_up(on: Ground) -> None:
    quick = dataclasses.replace(on.recipe, save_every=1000)
    imitation = dataclasses.replace(
        quick, method="sft", epochs=30.0, batch=8, accumulation=1, learning_rate=5e-3
    )
    # What the champion does already can hardly become likelier.
    champion = learnt(on, imitation, None, trainers.Hooks(ignore, ignore, ignore))
    alone = dataclasses.replace(quick, method="dpo", epochs=3.0, learning_rate=4e-3)
    both = dataclasses.replace(alone, losses=("sigmoid", "sft"), loss_weights=(1.0, 5.0))
    warned, held = (runs.create(on.store, LOCAL_USER, one, on.snapshot.id) for one in (alone, both))
    for run in (warned, held):
        seat = worker.Seat(on.store, on.home, run.id)
        learnt(on, run.recipe, champion, worker.hooks(seat))
    assert runs.get(on.store, held.id).warning is None
    warning = runs.get(on.store, warned.id).warning
    assert "have become less likely, each by" in warning
    assert warning.endswith("--set losses=sigmoid,sft --set loss_weights=1,0.1.")
    assert warning in hone(on, "show", warned.id)
    assert warning in run_html(runs.get(on.store, warned.id), [])


NATS = st.lists(st.floats(-50, 50), min_size=divergence.STEPS, max_size=60)


@given(NATS, st.floats(0.01, 1.0))
def test_a_warning_is_of_nats_whatever_beta_is_and_of_the_last_steps_alone(
    nats: list[float], beta: float
) -> None:
    recipe = Recipe(beta=beta)
    said = divergence.falling(recipe, [beta * one for one in nats])
    last = nats[-(len(nats) // 3) :]
    mean = sum(last) / len(last)
    if abs(mean + divergence.FALL_NATS) > 1e-6:
        assert (said is not None) == (mean < -divergence.FALL_NATS)
    begun_low = [-9.0 * beta] * (2 * len(nats)) + [0.0] * len(nats)
    assert divergence.falling(recipe, begun_low) is None


def test_what_a_warning_says_to_try_is_what_the_recipe_lacks() -> None:
    low = [-1.0] * divergence.STEPS
    has_it = Recipe(losses=("sigmoid", "sft"), loss_weights=(1.0, 0.1))
    assert "more weight in loss_weights" in str(divergence.falling(has_it, low))
    other = Recipe(losses=("ipo",), loss_weights=(0.5,))
    assert "--set losses=ipo,sft --set loss_weights=0.5,0.1" in str(divergence.falling(other, low))
    assert divergence.falling(Recipe(), low[1:]) is None
    assert divergence.falling(Recipe(method="kto"), low) is None


def test_a_full_disc_ends_a_run_with_a_sentence_and_its_last_checkpoint(on: Ground) -> None:
    run = started(on, method="sft", epochs=6.0, save_every=20)
    wait(on, run, lambda now: now.step >= 1)
    full = runs.folder(on.home, run.id) / "checkpoints" / "checkpoint-40"
    full.mkdir(parents=True)
    (full / "optimizer.pt").symlink_to("/dev/full")
    ended = finished(on, run)
    assert (ended.state, ended.step) == ("failed", 40), runs.log_text(on.home, run.id)
    assert ended.error == (
        "The disc seems to be full: a file could not be written. checkpoint-20, the last complete one, is"
        f" kept. Free some space, then `hone runs resume {run.id}`."
    )
    assert ended.error in hone(on, "show", run.id)
    assert [one.name for one in full.parent.glob("checkpoint-*")] == ["checkpoint-20"]
    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    mended = finished(on, run)
    assert (mended.state, mended.error) == ("done", None), runs.log_text(on.home, run.id)
    assert "Going on from checkpoint-20" in runs.log_text(on.home, run.id)


def test_a_run_holds_room_on_the_disc_for_the_words_it_ends_with(on: Ground) -> None:
    run = started(on, method="sft", epochs=200.0)
    wait(on, run, lambda now: now.step >= 1)
    held = runs.folder(on.home, run.id) / "room"
    assert held.stat().st_size >= 1 << 20
    runs.cancel(on.store, LOCAL_USER, run.id)
    assert finished(on, run).state == "cancelled"
    assert not held.exists()


def test_a_store_without_room_ends_a_run_as_any_other_file_does(on: Ground) -> None:
    run = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    said = worker.why_ended(worker.Seat(on.store, on.home, run.id), FullDiscError())
    assert said == (
        "The disc seems to be full: a file could not be written. There is no checkpoint yet."
        f" Free some space, then `hone runs resume {run.id}`."
    )


def write_in_python() -> None:
    with open("/dev/full", "w", encoding="utf-8") as file:
        file.write("x" * 100_000)


def write_by_torch() -> None:
    torch.save({"weights": torch.zeros(100_000)}, "/dev/full")


def write_rows() -> None:
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE kept (text)")
    store.execute("PRAGMA max_page_count = 3")
    for _ in range(100):
        store.execute("INSERT INTO kept VALUES (?)", ("x" * 1000,))


@pytest.mark.parametrize("write", [write_in_python, write_by_torch, write_rows])
def test_a_full_disc_is_known_whoever_writes(write: Callable[[], None]) -> None:
    with pytest.raises(Exception) as found:
        write()
    assert full_disc.is_why(found.value)
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = found.value
    assert full_disc.is_why(wrapped)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no file"), sqlite3.OperationalError("no such table"), RuntimeError("shape")]
)
def test_another_error_is_no_full_disc(error: Exception) -> None:
    assert not full_disc.is_why(error)


def test_a_killed_run_says_how_it_goes_on(on: Ground) -> None:
    run = started(on, method="sft", epochs=200.0)
    os.kill(wait(on, run, lambda now: now.step >= 1).pid, signal.SIGKILL)
    ended = finished(on, run)
    assert ended.state == "interrupted"
    assert (
        f"it was killed, ran out of memory, or the machine stopped. Resume it (`hone runs resume {run.id}`)"
        in (ended.error)
    )
    assert ended.error in hone(on, "show", run.id)
    assert "it was killed" in run_html(ended, [])
