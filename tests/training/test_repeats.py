"""Runs that are done once more, and what is said of whether their numbers are the same."""

import dataclasses
import json
import os
import shutil

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from assistant import registry
from assistant.base import Base
from feedback import datasets
from feedback.command_line import HoneGroup
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import tiny_models, training_ground
from tests.training_ground import Ground, finished
from training import commands, repeats, runs
from training.runs import Run


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def trained(on: Ground, **changes: object) -> Run:
    """A run that is done."""
    recipe = dataclasses.replace(on.recipe, **changes)
    run = finished(on, runs.start(on.home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id))
    assert run.state == "done", runs.log_text(on.home, run.id)
    return run


def hone(on: Ground, *words: str) -> Result:
    group = HoneGroup("hone", commands={"runs": commands.runs_group})
    return CliRunner().invoke(group, ["runs", *words, "--home", str(on.home.path)])


def curves(on: Ground, run: Run, name: str) -> list[float]:
    return [point.value for point in runs.metrics(on.store, run.id, [name])]


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_repetition_has_the_same_losses_and_the_same_weights_wherever_the_champion_is(
    on: Ground, method: str
) -> None:
    first = trained(on, method=method, seed=3)
    registry.move_champion(on.store, on.home, LOCAL_USER, first.candidate_id, "promote")
    told = hone(on, "repeat", first.id)
    assert told.exit_code == 0, told.output
    assert f"It repeats {first.id} exactly: all" in told.stdout
    again = runs.get(on.store, "latest")
    assert (again.repeats_id, again.recipe) == (first.id, first.recipe)
    assert (again.snapshot_id, again.base_version_id) == (on.snapshot.id, on.champion.id)
    losses = curves(on, first, "loss")
    assert len(losses) == first.total_steps
    assert curves(on, again, "loss") == losses
    one, other = (registry.get(on.store, run.candidate_id) for run in (first, again))
    assert one.adapter_sha256 == other.adapter_sha256
    shown = json.loads(hone(on, "show", again.id, "--json").stdout)
    assert shown["run"]["repeats_id"] == first.id
    assert (shown["repetition"]["same"], shown["repetition"]["weights_apart"]) == (True, 0.0)
