"""A run's curves copied for TensorBoard and trackio: the store's own figures, each once."""

import dataclasses
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.base import Base
from feedback import datasets
from feedback.command_line import HoneGroup
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import event_files, training_ground
from tests.training_ground import Ground
from training import commands, metrics_copy, run_commands, run_memory, runs, worker
from training.metrics_copy import Copy, Recorded, TensorBoard
from training.page.train import copy_html

ROOT = Path(__file__).parent.parent.parent
AT = "2026-11-30T10:00:00.000000Z"


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def finished(on: Ground, **changes: Any) -> runs.Run:
    """A whole run with these settings, as its process does it, but here; clm on a text of its own."""
    recipe, source = dataclasses.replace(on.recipe, **changes), on.snapshot.id
    if recipe.method == "clm":
        file = on.home.path / "text.txt"
        file.write_text("\n\n".join(f"{number} ships sail to the harbour." for number in range(60)))
        source = datasets.freeze_texts(on.store, on.home, LOCAL_USER, file).id
    run = runs.create(on.store, LOCAL_USER, recipe, source)
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    return runs.get(on.store, run.id)


OF_A_METHOD: dict[str, dict[str, object]] = {
    "clm": {"max_length": 32}, "dpo": {}, "reward": {},
    "rlhf": {"reward": "rule:concise", "batch": 4, "answers": 2, "answer_tokens": 4, "judge_every": 2},
}  # fmt: skip


@pytest.mark.parametrize("method", OF_A_METHOD)
def test_tensorboard_has_each_figure_of_each_step_as_the_store_has_it(on: Ground, method: str) -> None:
    run = finished(on, method=method, metrics="tensorboard", max_steps=3, **OF_A_METHOD[method])
    assert run.state == "done", run.error
    folder = metrics_copy.folder(on.home, run)
    assert folder.is_relative_to(runs.folder(on.home, run.id))
    expected = event_files.curves(on.store, run.id)
    assert {step for step, _, _ in expected} == ({0, 1, 2, 3} if method == "clm" else {1, 2, 3})
    assert event_files.points(folder) == expected


def test_tensorboard_has_the_settings_of_the_run_and_when_each_step_was(on: Ground) -> None:
    run = finished(on, method="sft", metrics="tensorboard", max_steps=2)
    found = event_files.events(metrics_copy.folder(on.home, run))
    values = [value for event in found for value in event.summary.value]
    (said,) = (one.tensor.string_val[0].decode() for one in values if one.tag.startswith("recipe"))
    for line in (f"run: {run.id}", "method: sft", "learning_rate: 0.001", "losses: sigmoid"):
        assert f"    {line}\n" in said
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= {one.tag for one in values}
    times = {(event.step, event.summary.value[0].tag): event.wall_time for event in found if event.step}
    recorded = runs.recorded(on.store, run.id, 1, 2)
    assert times == {
        (one.step, one.name): datetime.fromisoformat(one.created_at).timestamp()
        for one in recorded
        if one.name not in run_memory.KEPT
    }


def test_a_run_tells_how_its_copy_is_looked_at(on: Ground) -> None:
    training_ground.somebody_else_trains(on)
    hone = HoneGroup("hone", commands={"train": commands.train, "runs": run_commands.runs_group})
    for metrics, command in (
        ("tensorboard", f"tensorboard --logdir {on.home.runs}"),
        ("none", None),
    ):
        words = [
            "--detach",
            "--set",
            f"metrics={metrics}",
            "--model",
            str(on.base.folder),
            "--quantize",
            "none",
        ]
        at_home = ["--home", str(on.home.path)]
        assert CliRunner().invoke(hone, ["train", "dpo", *words, *at_home]).exit_code == 0
        shown = CliRunner().invoke(hone, ["runs", "show", *at_home]).output
        assert (f"Its curves: {command}" in shown) if command else ("Its curves" not in shown)
    assert copy_html("") == ""
    assert "<code>tensorboard --logdir &lt;here&gt;</code>" in copy_html("tensorboard --logdir <here>")


def test_a_run_for_trackio_is_refused_where_it_is_not_installed(
    on: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    recipe = dataclasses.replace(on.recipe, metrics="trackio")
    with pytest.raises(HoneError, match="trackio is not installed") as refused:
        runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id)
    assert runs.listing(on.store) == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = extras["trackio"]
    assert f"pip install '{wanted}'" in str(refused.value)


value = st.floats(-9, 9, width=32)
attempt = st.tuples(st.integers(0, 5), st.lists(st.tuples(value, value, value), min_size=1, max_size=5))


@settings(max_examples=40)
@given(st.lists(st.tuples(attempt, st.booleans()), min_size=1, max_size=4))
def test_whatever_is_killed_and_goes_on_each_figure_stands_once(
    tmp_path_factory: pytest.TempPathFactory,
    attempts: list[tuple[tuple[int, list[tuple[float, float, float]]], bool]],
) -> None:
    """Each attempt goes on some steps before where the last one came to, and may say its last step again.
    What the last one recorded after that is not in the copy until it comes once more.
    """
    folder, kept, reached = tmp_path_factory.mktemp("events"), dict[tuple[int, str], float](), 0

    def read(first: int, last: int) -> list[Recorded]:
        found = sorted(key for key in kept if first <= key[0] <= last)
        return [Recorded(step, name, kept[step, name], AT) for step, name in found]

    for (back, steps), twice in attempts:
        copy = Copy(TensorBoard(folder, {}, ()), read)
        told = list(enumerate(steps, max(0, reached - back)))
        for step, (loss, margin, judge) in told + told[-1:] * twice:
            for found in ({"loss": loss, "margin": margin}, {"judge": judge}):
                kept.update({(step, name): value for name, value in found.items()})
                copy.follow(step, set(found))
            reached = step
            points = [(one.step, one.name, one.value) for one in read(0, step)]
            assert event_files.points(folder) == points
