"""A training that loses its way stops, and what remains of it is its best checkpoint."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER, RunId
from feedback.store import Store
from tests import training_ground
from training import data, divergence, runs, trainers, worker
from training.crew import ALONE, Crew
from training.divergence import STEPS
from training.launch import configs, launcher
from training.recipes import Recipe
from training.task import Task
from training.trainers import Hooks, Job

SAVE_EVERY = 4
FILE = "adapter_model.safetensors"
ROWS = tuple(
    data.Row((5, 6, 7 + number), (20, 21, 22, 30 + number % 7, 1), (20, 21, 22, 30 + (number + 1) % 7, 1))
    for number in range(28)
)
"""Answers that differ in one token."""
Poison = Callable[[int, torch.nn.Module], None]


def climbs(base: Base, **changes: object) -> Recipe:
    """Steps that grow until they are far too long. IPO wants a margin of 0.5 nats a token: more costs too."""
    values = {
        "method": "dpo", "losses": ["ipo"], "loss_weights": [1.0], "beta": 1.0, "learning_rate": 0.1,
        "warmup_share": 0.9, "max_steps": 60, "batch": 8, "accumulation": 1, "save_every": SAVE_EVERY,
    }  # fmt: skip
    return training_ground.recipe(base, **values | changes)


@dataclass
class Seen:
    """A training in this process: its folder, what it told, and what is done to its weights after a step."""

    base: Base
    folder: Path
    losses: dict[int, float] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)
    adapter: Path = Path()

    def train(
        self, recipe: Recipe, poison: Poison = lambda _step, _model: None, start: Path | None = None,
        crew: Crew = ALONE,
    ) -> None:  # fmt: skip
        torch.set_num_threads(1)  # the model is so small that threads wait for each other
        model = bases.load_model(self.base)

        def on_metrics(step: int, found: dict[str, float]) -> None:
            self.losses |= {step: found["loss"]} if "loss" in found else {}

        hooks = Hooks(
            lambda step, _total: poison(step, model), on_metrics, lambda *_: None,
            on_warning=self.warned.append,
        )  # fmt: skip
        rows = ROWS if recipe.method == "dpo" else [dataclasses.replace(row, rejected_ids=()) for row in ROWS]
        train = trainers.train_dpo if recipe.method == "dpo" else trainers.train_sft
        tokenizer = bases.load_tokenizer(self.base)
        job = Job(model, tokenizer, rows, recipe, self.folder, start, "cpu", crew=crew)
        self.adapter = train(job, hooks)

    def checkpoints(self) -> list[int]:
        return sorted(int(one.name.split("-")[1]) for one in self.folder.glob("checkpoints/checkpoint-*"))

    def best(self, save_every: int, last: int) -> int:
        """The step whose mean loss from there to the next checkpoint is lowest, of losses up to `last`."""
        means = {
            step: fmean(self.losses[at] for at in range(step + 1, min(step + save_every, last) + 1))
            for step in range(0, last, save_every)
        }
        return min(means, key=lambda step: means[step])

    def checkpoint(self, step: int) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "checkpoints" / f"checkpoint-{step}" / FILE)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Byte for byte, the names as well."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def blown_up_at(when: int) -> Poison:
    """What is trained is infinite after that step, which its own loss does not show yet."""

    def poison(step: int, model: torch.nn.Module) -> None:
        if step == when:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data.fill_(float("inf"))

    return poison


@pytest.fixture
def seen(tiny_base: Base, tmp_path: Path) -> Seen:
    return Seen(tiny_base, tmp_path / "run")


def test_a_loss_that_climbs_ends_a_training_with_its_best_checkpoint(seen: Seen) -> None:
    seen.train(climbs(seen.base))
    stopped = max(seen.losses)
    best = seen.best(SAVE_EVERY, stopped - STEPS)
    assert 0 < best < stopped - 4 * SAVE_EVERY < 60 - 4 * SAVE_EVERY  # rotation has had others to drop
    assert seen.checkpoints() == [best]
    assert same(load_file(seen.adapter / FILE), seen.checkpoint(best))
    (warned,) = seen.warned
    assert warned.startswith(f"The loss climbs: each of the 9 steps up to step {stopped} had ")
    assert (
        f"Training was stopped, and the weights of step {best}, the best by their loss, are kept." in warned
    )
    assert "this one had 0.1; try --set learning_rate=0.033" in warned


def test_a_training_that_goes_on_knows_its_best_checkpoint_and_its_losses(seen: Seen, tmp_path: Path) -> None:
    def killed(step: int, _model: torch.nn.Module) -> None:
        if step == 31:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        seen.train(climbs(seen.base), killed)
    assert len(seen.checkpoints()) == 2
    seen.train(climbs(seen.base))
    whole = Seen(seen.base, tmp_path / "whole")
    whole.train(climbs(seen.base))
    assert seen.warned == whole.warned
    assert same(load_file(seen.adapter / FILE), load_file(whole.adapter / FILE))


@pytest.mark.parametrize("family", ["lora", "adalora", "bias"])
def test_weights_that_are_no_numbers_are_never_kept(seen: Seen, family: str) -> None:
    recipe = training_ground.recipe(
        seen.base, method="sft", adapt=family, learning_rate=1e-2, max_steps=20, batch=8, accumulation=1
    )
    seen.train(recipe, blown_up_at(8))  # and written so, as checkpoint-8
    assert max(seen.losses) == 8
    best = seen.best(2, 8)
    assert seen.checkpoints() == [best]
    (warned,) = seen.warned
    assert "at step 9. Training was stopped" in warned
    made, kept = load_file(seen.adapter / FILE), seen.checkpoint(best)
    assert all(tensor.isfinite().all() for tensor in made.values())
    if family != "adalora":  # which a version keeps as a LoRA
        assert same(made, kept)


def test_what_goes_on_from_an_adapter_keeps_its_best_and_not_its_reference(
    seen: Seen, tmp_path: Path
) -> None:
    champion = Seen(seen.base, tmp_path / "champion")
    champion.train(training_ground.recipe(seen.base, method="sft", max_steps=4, batch=8, accumulation=1))
    seen.train(climbs(seen.base, learning_rate=1e-3), blown_up_at(14), champion.adapter)
    best = seen.best(SAVE_EVERY, 14)
    assert f"weights of step {best}," in seen.warned[0]
    made = load_file(seen.adapter / FILE)
    assert same(made, seen.checkpoint(best))
    assert not same(made, load_file(champion.adapter / FILE))


@pytest.mark.parametrize("when", [1, SAVE_EVERY])
def test_without_a_checkpoint_that_anything_is_known_of_the_run_fails(seen: Seen, when: int) -> None:
    with pytest.raises(HoneError, match=rf"at step {when + 1}\..*too high.*try --set learning_rate=0.033"):
        seen.train(climbs(seen.base), blown_up_at(when))
    assert seen.checkpoints() == []  # nothing that the run could go on from


def test_a_checkpoint_that_is_worse_than_the_start_is_not_kept(seen: Seen) -> None:
    recipe = climbs(seen.base, learning_rate=3.0, warmup_share=0.0, save_every=1)
    with pytest.raises(HoneError, match="at step 8"):
        seen.train(recipe, blown_up_at(7))
    assert seen.best(1, 7) == 0
    assert seen.checkpoints() == []


def test_a_climb_does_not_count_against_the_checkpoint_before_it(seen: Seen) -> None:
    def blown_up(step: int, model: torch.nn.Module) -> None:
        for parameter in model.parameters():
            if step >= 24 and parameter.requires_grad:
                parameter.data.fill_(step)

    seen.train(climbs(seen.base, learning_rate=0.01, save_every=20), blown_up)
    assert max(seen.losses) == 24 + STEPS
    assert seen.checkpoints() == [20]


def test_a_crew_that_shards_its_weights_fails_and_leaves_its_best_checkpoint(seen: Seen) -> None:
    with pytest.raises(HoneError, match="The loss climbs"):
        seen.train(climbs(seen.base), crew=Crew(sharded=True))
    assert seen.checkpoints() == [seen.best(SAVE_EVERY, max(seen.losses) - STEPS)]


@pytest.mark.slow
def test_several_processes_say_so_too(tiny_base: Base, tmp_path: Path) -> None:
    warned: list[str] = []
    hooks = Hooks(lambda *_: None, lambda *_: None, lambda *_: None, on_warning=warned.append)
    recipe = climbs(tiny_base)
    trained = launcher.train(Task(tiny_base, recipe, ROWS, tmp_path), configs.load("cpu-2"), hooks, print)
    (kept,) = (tmp_path / "checkpoints").glob("checkpoint-*")
    assert f"the weights of step {kept.name.split('-')[1]}," in warned[0]
    assert same(load_file(trained.folder / FILE), load_file(kept / FILE))


def test_a_run_that_lost_its_way_is_done_with_a_warning_and_a_version(
    home: Home, tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = training_ground.ground(home, tiny_base)
    models: list[torch.nn.Module] = []
    load, record = bases.load_model, runs.record

    def loaded(base: Base) -> Any:
        models.append(load(base))
        return models[-1]

    def recorded(store: Store, run_id: RunId, step: int, found: Mapping[str, float]) -> None:
        record(store, run_id, step, found)
        for model in models:
            blown_up_at(14)(step, model)

    monkeypatch.setattr(bases, "load_model", loaded)
    monkeypatch.setattr(runs, "record", recorded)
    run = runs.create(on.store, LOCAL_USER, climbs(tiny_base, learning_rate=1e-3), on.snapshot.id)
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    ended = runs.get(on.store, run.id)
    assert (ended.state, ended.error) == ("done", None)
    assert ended.step == 15
    assert "are kept. Start a new run with a lower learning_rate" in str(ended.warning)
    made = registry.get(on.store, str(ended.candidate_id))
    assert made.run_id == run.id
    weights = load_file(on.home.path / str(made.adapter_dir) / FILE)
    assert all(tensor.isfinite().all() for tensor in weights.values())


LOSSES = st.lists(st.floats(-100, 100), min_size=2 * STEPS, max_size=80)


@given(LOSSES, st.floats(0.001, 10))
def test_losses_that_rise_by_more_than_half_of_where_they_began_climb(
    before: list[float], more: float
) -> None:
    top = max(before) + divergence.CLIMB * abs(max(before[:STEPS])) + more
    said = divergence.climbing([*before, *[top] * STEPS])
    assert f"up to step {len(before) + STEPS} had {top:.3g} or more" in str(said)


@given(LOSSES, st.integers(1, STEPS))
def test_one_low_loss_among_the_last_is_no_climb(before: list[float], place: int) -> None:
    last = [1000.0] * STEPS
    last[-place] = min(before)
    assert divergence.climbing([*before, *last]) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=80))
def test_losses_that_only_fall_never_climb(losses: list[float]) -> None:
    assert divergence.climbing(sorted(losses, reverse=True)) is None


@given(LOSSES, st.integers(-8, 8))
def test_the_scale_of_a_loss_does_not_matter(losses: list[float], power: int) -> None:
    scaled = [loss * 2.0**power for loss in losses]
    assert (divergence.climbing(losses) is None) == (divergence.climbing(scaled) is None)
