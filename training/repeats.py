"""Repetitions: a run done once more, with the same recipe, start and data, and whether it came to the same
numbers. Knows rows and files; no trainer.
"""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from assistant import base as bases
from assistant import registry, version_files
from assistant.tensor_files import TensorFiles
from feedback import datasets
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import RunId, UserId
from feedback.store import Store
from training import heads, rules, run_memory, runs
from training.classify import heads as classifiers
from training.methods import METHODS
from training.recipes import Recipe
from training.runs import Beside, MetricPoint, Run

NOT_OF_THE_TRAINING = (run_memory.ESTIMATE, run_memory.PEAK)
"""Figures that hang on what else the machine was doing."""


@dataclass(frozen=True)
class Difference:
    """A figure that two runs did not have alike."""

    name: str
    step: int
    before: float
    now: float


@dataclass(frozen=True)
class Compared:
    """A run beside the one that it repeats.

    `figures`: how many both recorded; `differing`: those of them that are not the same, by step. `steps`: of
    the earlier one and of this. `weights_same`: to the last bit; None, not both made any. `weights_apart`:
    the largest difference between two of them; None where they cannot be held against each other.
    """

    earlier: RunId
    figures: int
    differing: tuple[Difference, ...]
    steps: tuple[int, int]
    weights_same: bool | None
    weights_apart: float | None


@dataclass(frozen=True)
class Repetition(Compared):
    """For programs: the comparison, whether all is the same, and that in a sentence."""

    same: bool
    sentence: str


@dataclass(frozen=True)
class Comparison(Compared):
    """A comparison, and what follows from it."""

    @property
    def same(self) -> bool:
        """Every number of the training is."""
        return not self.differing and self.steps[0] == self.steps[1] and self.weights_same is not False

    def sentence(self) -> str:
        """Whether the numbers are the same, in one sentence."""
        if self.same:
            made = "" if self.weights_same is None else " and every weight of what was trained"
            return f"It repeats {self.earlier} exactly: all {self.figures} figures{made} are the same."
        said = [f"{self.earlier} took {self.steps[0]} steps and this {self.steps[1]}"] * (
            self.steps[0] != self.steps[1]
        )
        if self.differing:
            first = self.differing[0]
            said.append(
                f"{len(self.differing)} of {self.figures} figures differ, first {first.name} at step"
                f" {first.step} ({first.before:.6g}, now {first.now:.6g})"
            )
        if self.weights_same is False:
            far = "" if self.weights_apart is None else f" by up to {self.weights_apart:.2g}"
            said.append(f"the weights differ{far}")
        return f"It does not repeat {self.earlier} exactly: {'; '.join(said)}."


def as_data(compared: Comparison | None) -> Repetition | None:
    """For programs; None for none."""
    if compared is None:
        return None
    return Repetition(**vars(compared), same=compared.same, sentence=compared.sentence())


def create(store: Store, home: Home, user_id: UserId, run_id: RunId) -> Run:
    """A queued run with the recipe, the data, the start and the processes of an earlier one. Nothing is
    started.

    Refuses a run that is not over, and one of which something is gone.
    """
    runs.sweep(store)
    run = runs.get(store, run_id)
    if not run.is_over:
        raise ConflictError(
            f"The run {run.id} cannot be repeated yet.",
            f"It is {run.state}.",
            "Wait for its end, or cancel it.",
        )
    try:
        recipe = _still_there(store, home, run)
        source = str(run.snapshot_id or run.dataset_id)
        beside = Beside(launch=run.crew, repeated=run, test_id=run.test_dataset_id)
        return runs.create(store, user_id, recipe, source, beside)
    except HoneError as error:
        raise ConflictError(
            f"The run {run.id} cannot be repeated.",
            f"{error.what} {error.why}".rstrip(),
            "Restore what is missing, or start a new run.",
        ) from error


def _still_there(store: Store, home: Home, run: Run) -> Recipe:
    """Check what the run stood on, its snapshot apart, which `runs.create` does. Returns its recipe, with the
    reward model by name that was the latest.
    """
    begin, recipe = registry.get(store, run.base_version_id), run.recipe
    registry.check_files(home, begin)
    found = bases.resolve(home, recipe.base)
    if found.id != begin.base_id:
        raise HoneError(
            f"The base {begin.base_id} is not there any more.", f"{recipe.model} is {found.id} now."
        )
    for dataset_id in filter(None, (run.dataset_id, run.test_dataset_id)):
        datasets.check(home, datasets.get(store, dataset_id))
    if recipe.method != "rlhf" or rules.named(recipe.reward) is not None:
        return recipe
    head = heads.as_it_was(store, recipe.reward, run.started_at or run.created_at)
    heads.check_files(home, head)
    return dataclasses.replace(recipe, reward=head.name)


def compare(store: Store, home: Home, run: Run) -> Comparison | None:
    """The run beside the one that it repeats; None where it repeats none, or is not done."""
    if run.repeats_id is None or run.state != "done":
        return None
    earlier = runs.get(store, run.repeats_id)
    before, now = _figures(store, earlier.id), _figures(store, run.id)
    both = sorted(before.keys() & now.keys())
    differing = [
        Difference(name, step, before[step, name], now[step, name])
        for step, name in both
        if before[step, name] != now[step, name]
    ]
    made, again = _weights(store, home, earlier), _weights(store, home, run)
    alike = None if made is None or again is None else made.sha256 == again.sha256
    apart = None if made is None or again is None else _apart(made, again)
    return Comparison(earlier.id, len(both), tuple(differing), (earlier.step, run.step), alike, apart)


def _figures(store: Store, run_id: RunId) -> dict[tuple[int, str], float]:
    points: list[MetricPoint] = runs.metrics(store, run_id)
    return {(one.step, one.name): one.value for one in points if one.name not in NOT_OF_THE_TRAINING}


@dataclass(frozen=True)
class _Kept:
    """Weights that a run made. `sha256`: of what they were when they were kept."""

    files: tuple[Path, ...]
    sha256: str | None


def _weights(store: Store, home: Home, run: Run) -> _Kept | None:
    if METHODS[run.method].makes == "classifier":
        made = classifiers.of_run(home, run.id)
        files, sha256 = classifiers.weights(home, made) if made else ([], "")
        return _Kept(tuple(files), sha256) if made else None
    version, head = registry.of_run(store, run.id), heads.of_run(store, run.id)
    if version is not None and version.adapter_dir is not None:
        return _Kept((home.path / version.adapter_dir / version_files.WEIGHTS,), version.adapter_sha256)
    return _Kept((home.path / head.folder / version_files.WEIGHTS,), head.sha256) if head else None


@lru_cache(maxsize=64)
def _apart(one: _Kept, other: _Kept) -> float | None:
    """The largest difference between weights of one name; None where a file is gone or has other shapes."""
    if one.sha256 == other.sha256:
        return 0.0
    try:
        before, now = TensorFiles([*one.files]), TensorFiles([*other.files])
    except (OSError, ValueError):
        return None
    if set(before) != set(now) or any(before.raw(name).shape != now.raw(name).shape for name in before):
        return None
    return max(float(np.abs(before.float32(name) - now.float32(name)).max(initial=0.0)) for name in before)
