"""Several processes tune a classifier as one would, whatever of a batch each of them gets."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from assistant import device
from assistant.base import Base
from feedback import datasets
from feedback.datasets import Example, Labelled
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import training_ground
from tests.training_ground import Ground, finished, ranks, wait
from training import crew as crews
from training import recipes, repeats, runs, task, trainers, worker
from training.classify import begin, heads, tuning
from training.classify.begin import Wanted
from training.crew import Crew
from training.data import Row
from training.launch import configs, launcher
from training.runs import Run
from training.task import Classes, Task
from training.trainers import Hooks

TOLERANCE = 1e-4
"""Of what is measured, relative, in float32: two processes add the same numbers in another order."""
WEIGHTS = 1e-5
"""The same of what is trained, absolute."""
QUICK: dict[str, Any] = {"wording": "plain", "batch": 8, "lora_rank": 4, "learning_rate": 1e-3}


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base, questions=12)


def rows(first: int, count: int) -> tuple[Row, ...]:
    """Texts of many lengths, which end as their labels say."""
    return tuple(
        Row((*(5 + (3 * at + k) % 80 for k in range(2 + at % 7)), 90 + at % 2), (), ())
        for at in range(first, first + count)
    )


def labels(first: int, count: int) -> tuple[int, ...]:
    return tuple(at % 2 for at in range(first, first + count))


Curve = dict[tuple[str, int], float]


class Killed(BaseException):
    """As a process that ends at once: nothing may catch it."""


def handed(base: Base, folder: Path, sizes: tuple[int, int, int], **changes: Any) -> Task:
    """A tuning. `sizes`: of a batch, of what is learnt, of what chooses the epoch."""
    batch, learnt, chooses = sizes
    recipe = recipes.from_mapping(QUICK | {"batch": batch, "epochs": 2} | changes, recipes.load("classify"))
    start = tuple(tuple(0.01 * (label + 1) * (at % 5) for at in range(32)) for label in range(2))
    classes = Classes(labels(0, learnt), labels(50, chooses), start, (0.1, -0.2))
    return Task(base, recipe, rows(0, learnt), folder, unseen=rows(50, chooses), classes=classes)


def tuned(job: Task, processes: int, killed_at: int = 0) -> Curve:
    """What a tuning tells, by name and step."""
    found: Curve = {}

    def dies(step: int, _total: int) -> None:
        if step == killed_at > 0:
            raise Killed

    def keep(step: int, told: dict[str, float]) -> None:
        found.update({(name, step): value for name, value in told.items()})

    hooks = Hooks(dies, keep, lambda *_: None)
    if processes == 1:
        task.train(job, hooks, print)
    else:
        launcher.train(job, configs.load(f"cpu-{processes}"), hooks, print)
    return found


def state(folder: Path) -> dict[str, Any]:
    """The last checkpoint."""
    last = Path(trainers.last_checkpoint(folder) or "")
    return dict(torch.load(last / tuning.STATE, weights_only=True))


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


# Last batches of 1 text, which leaves the second process none, and of 2; 5 texts choose the epoch, and 1.
@pytest.mark.parametrize(
    ("adapt", "sizes"), [("lora", (4, 9, 5)), pytest.param("full", (3, 11, 1), marks=pytest.mark.slow)]
)
def test_two_processes_draw_the_curve_of_one_and_train_the_same_weights(
    tiny_base: Base, tmp_path: Path, adapt: str, sizes: tuple[int, int, int]
) -> None:
    one, two = (tuned(handed(tiny_base, tmp_path / str(crew), sizes, adapt=adapt), crew) for crew in (1, 2))
    steps = 2 * math.ceil(sizes[1] / sizes[0])
    assert one.keys() == two.keys()
    for name in ("loss", "grad_norm", "learning_rate"):
        assert [step for told, step in one if told == name] == list(range(1, steps + 1))
    assert len([step for told, step in one if told == "calibration_loss"]) == 2
    for key, value in one.items():
        assert math.isclose(two[key], value, rel_tol=TOLERANCE, abs_tol=1e-6), key
    first, second = (state(tmp_path / str(crew)) for crew in (1, 2))
    assert first["numbers"][:2] == second["numbers"][:2]
    assert apart(first["trained"], second["trained"]) < WEIGHTS
    assert apart(first["best"], second["best"]) < WEIGHTS


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_and_end_as_one_that_was_not(
    tiny_base: Base, tmp_path: Path
) -> None:
    changes = {"epochs": 3, "save_every": 2}
    whole = tuned(handed(tiny_base, tmp_path / "whole", (4, 9, 5), **changes), 1)
    killed = handed(tiny_base, tmp_path / "killed", (4, 9, 5), **changes)
    with pytest.raises(Killed):
        tuned(killed, 2, killed_at=5)
    rest = tuned(killed, 2)
    assert {step for _, step in rest} == set(range(5, 10))  # from checkpoint-4
    for key, value in rest.items():
        assert math.isclose(value, whole[key], rel_tol=TOLERANCE, abs_tol=1e-6), key
    first, second = (state(tmp_path / name) for name in ("whole", "killed"))
    assert first["numbers"][:2] == second["numbers"][:2]
    assert apart(first["best"], second["best"]) < WEIGHTS


def queued(on: Ground, launch: str | None, **changes: Any) -> Run:
    kinds = (("the dog", "canine"), ("the cat", "feline"))
    examples = [Example(f"{at} times {kinds[at % 2][0]}", kinds[at % 2][1]) for at in range(43)]
    given = Labelled(("canine", "feline"), "", tuple(examples))
    learnt = datasets.freeze_labelled(on.store, on.home, LOCAL_USER, "animals.jsonl", given)
    recipe = recipes.from_mapping(
        QUICK | {"model": str(on.base.folder), "quantize": "none"} | changes, recipes.load("classify")
    )
    wanted = Wanted(learnt.id, launch=configs.load(launch) if launch else None)
    return begin.create(on.store, on.home, LOCAL_USER, recipe, wanted)


def done(on: Ground, run: Run) -> Run:
    """The run, done as its process does it, but here."""
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    return runs.get(on.store, run.id)


def made(on: Ground, run: Run) -> tuple[heads.HeadInfo, dict[str, torch.Tensor]]:
    """The classifier of a run that is done, and all its numbers."""
    info = heads.of_run(on.home, run.id)
    assert info is not None
    folder = heads.folder_of_all(on.home) / info.name
    return info, {
        f"{file.name}/{name}": part
        for file in sorted(folder.rglob("*.safetensors"))
        for name, part in load_file(file).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("adapt", "batch", "takes"), [("lora", 5, "at most 3 x 1"), ("full", 8, "4 x 1")])
def test_a_run_of_two_processes_makes_the_classifier_of_one(
    on: Ground,
    adapt: str,
    batch: int,
    takes: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(device, "choose", lambda: ("cpu", "float32", "Chosen by the test."))
    alone, together = (
        done(on, queued(on, launch, adapt=adapt, batch=batch, called=called))
        for launch, called in ((None, "alone"), ("cpu-2", "together"))
    )
    log = capfd.readouterr().out.partition(together.id)[2]
    assert (alone.state, together.state) == ("done", "done"), log
    assert (together.processes, together.launch, together.step) == (2, "cpu-2", alone.step)
    assert f"2 processes (cpu-2): of each step of {batch} x 1 examples, one takes {takes}." in log
    assert log.count("Trained: ") == log.count("Memory: peak") == 1
    points = [
        {
            (one.name, one.step): one.value
            for one in runs.metrics(on.store, run.id)
            if "memory" not in one.name
        }
        for run in (alone, together)
    ]
    assert points[1] == pytest.approx(points[0], rel=TOLERANCE, abs=1e-6)
    (first, numbers), (second, others) = (made(on, run) for run in (alone, together))
    assert numbers.keys() == others.keys()
    assert apart(list(numbers.values()), list(others.values())) < WEIGHTS
    for name in ("epoch", "trainable_parameters"):
        assert first.metrics[name] == second.metrics[name]
    assert not (runs.folder(on.home, together.id) / launcher.TASK).exists()
    again = repeats.create(on.store, on.home, LOCAL_USER, together.id)
    assert (again.repeats_id, again.crew) == (together.id, configs.load("cpu-2"))


@pytest.mark.slow
def test_a_killed_process_fails_the_run_in_words_and_it_goes_on_to_its_end(on: Ground) -> None:
    run = queued(on, "cpu-2", epochs=40, save_every=2)
    at = wait(on, runs.start(on.home, run.id), lambda now: now.step >= 5 or now.is_over)
    tuning_now = ranks(at.pid)
    assert len(tuning_now) == 2, runs.log_text(on.home, run.id)
    os.kill(tuning_now[1].pid, signal.SIGKILL)
    failed = finished(on, run)
    assert failed.state == "failed", runs.log_text(on.home, run.id)
    assert "One of the 2 processes ended" in str(failed.error)
    _, alive = psutil.wait_procs(tuning_now, timeout=20)
    assert alive == []

    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    again = wait(on, run, lambda now: now.is_over or now.step > failed.step)
    tuning_now = ranks(again.pid)
    runs.cancel(on.store, LOCAL_USER, run.id)
    assert finished(on, run).state == "cancelled", runs.log_text(on.home, run.id)
    _, alive = psutil.wait_procs(tuning_now, timeout=20)
    assert alive == []

    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    ended = finished(on, run)
    log = runs.log_text(on.home, run.id)
    assert (ended.state, ended.error) == ("done", None), log
    assert log.count("Going on from checkpoint-") == 2
    assert made(on, ended)[0].metrics["on"] == "calibration"


@pytest.mark.parametrize(
    ("launch", "adapt", "complaint"),
    [
        ("cpu-2", "frozen", "A classifier on a frozen trunk is trained by one process"),
        ("fsdp", "lora", "classify cannot be trained under fsdp.*Take ddp-8"),
        ("deepspeed-zero2", "lora", "DEEPSPEED shares out weights or moments"),
        ("deepspeed-zero3", "full", "DEEPSPEED shares out weights or moments"),
    ],
)
def test_what_several_processes_cannot_tune_is_refused_before_a_run_is_made(
    on: Ground, launch: str, adapt: str, complaint: str
) -> None:
    with pytest.raises(HoneError, match=complaint):
        queued(on, launch, adapt=adapt)
    assert runs.listing(on.store) == []


@given(st.integers(0, 40), st.integers(1, 9))
def test_every_text_of_a_batch_is_of_one_process_and_none_has_two_more_than_another(
    count: int, processes: int
) -> None:
    parts = [Crew(processes, rank).part(range(count)) for rank in range(processes)]
    assert sorted(place for part in parts for place in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_what_is_added_up_comes_back_to_its_place_in_however_many_messages(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Doubled here, as by two processes that hold the same."""
    sent: list[int] = []

    def doubled(flat: torch.Tensor) -> None:
        sent.append(flat.numel())
        flat.mul_(2)

    monkeypatch.setattr(crews, "AT_ONCE", at_once)
    monkeypatch.setattr(torch.distributed, "all_reduce", doubled)
    parts = [torch.arange(6.0).reshape(2, 3), torch.tensor(7.0), torch.arange(4.0), torch.zeros(0)]
    wanted = [2 * part for part in parts]
    crews.add_up(parts, Crew(2))
    assert all(torch.equal(part, want) for part, want in zip(parts, wanted, strict=True))
    assert sent == {1: [6, 1, 4, 0], 5: [6, 5], 100: [11]}[at_once]


def test_who_is_alone_has_the_sum_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.distributed, "all_reduce")
    part = torch.arange(4.0)
    crews.add_up([part], crews.ALONE)
    assert part.tolist() == [0, 1, 2, 3]
