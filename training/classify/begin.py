"""What a classifier's run begins with: its data, from files or datasets, and the version that it starts from.

All that can be refused is refused here, before the run is queued. Knows the store; no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from assistant import base as bases
from assistant import registry
from assistant.adapters import stored
from assistant.base import Base
from assistant.registry import ModelVersion
from feedback import datasets
from feedback.datasets import Dataset, Labelled
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import UserId
from feedback.store import Store
from training import runs
from training.classify import data, heads, wording
from training.launch.configs import Launch
from training.recipes import Recipe
from training.runs import Beside, Run

KIND = "labels"
CARRIED = ("lora", "ia3")
"""How a version's change may be kept that a classifier can take with it."""


@dataclass(frozen=True)
class Wanted:
    """What to learn from. `test_id`: the dataset that it is measured on. `start`: the id or name of a model
    version; None: the base itself.
    """

    data_id: str
    test_id: str | None = None
    start: str | None = None
    launch: Launch | None = None


def dataset(store: Store, home: Home, user_id: UserId, named: str) -> Dataset:
    """The dataset of `FILE` or `FORMAT:FILE`, which is kept, or the one that is named by id or `latest`."""
    file, _ = data.place(named)
    if not file.is_file() and datasets.names_one(named):
        return datasets.find(store, named, KIND)
    return datasets.freeze_labelled(store, home, user_id, file.name, data.read(named))


def create(store: Store, home: Home, user_id: UserId, recipe: Recipe, wanted: Wanted) -> Run:
    """A queued run that makes a classifier. Raises HoneError."""
    learnt = datasets.get(store, wanted.data_id)
    _check_kind(learnt)
    given = datasets.labelled(home, learnt)
    test = None
    if wanted.test_id is not None:
        tested = datasets.get(store, wanted.test_id)
        _check_kind(tested)
        test = datasets.labelled(home, tested)
        _check_labels(tested, test, given)
    data.split(given.examples, recipe.calibration_share, test.examples if test else ())
    wording.chosen(recipe.wording, given.question, len(given.labels))
    if recipe.called:
        heads.check_name(home, recipe.called)
    start = _start(store, home, recipe, wanted.start)
    beside = Beside(launch=wanted.launch, test_id=wanted.test_id, start_id=start.id)
    return runs.create(store, user_id, recipe, learnt.id, beside)


def _check_kind(found: Dataset) -> None:
    if found.kind != KIND:
        raise HoneError(
            f"A classifier cannot learn from the dataset {found.id}, nor be measured on it.",
            f"It holds {found.kind}, and a classifier needs labels.",
            "Keep labelled texts with `hone data labels FILE`.",
        )


def _check_labels(tested: Dataset, test: Labelled, given: Labelled) -> None:
    if unknown := [label for label in test.labels if label not in given.labels]:
        raise HoneError(
            f"{tested.name} cannot measure this classifier.",
            f"Its label is {unknown[0]!r}, not one of {', '.join(given.labels)}.",
            "Give texts with labels that it learns.",
        )


def _start(store: Store, home: Home, recipe: Recipe, named: str | None) -> ModelVersion:
    base = bases.resolve(home, recipe.base)
    if named is None:
        return registry.base_version(store, base, bases.chat_template(base))
    found = registry.get(store, named)
    _check_start(home, base, found)
    return found


def _check_start(home: Home, base: Base, found: ModelVersion) -> None:
    """HoneError for a version on another base, a damaged one, and one whose change leaves no trunk."""
    if found.base_id != base.id:
        raise HoneError(
            f"A classifier on {base.title} cannot start from {found.name}.",
            f"That version stands on {found.base_id}.",
            "Name its base with --model and --quantize.",
        )
    registry.check_files(home, found)
    folder = registry.folder(home, found)
    if folder is not None and (what := stored.read(folder)).kept_as not in CARRIED:
        raise HoneError(
            f"A classifier cannot start from {found.name}.",
            f"It was adapted by {what.family}; a classifier carries LoRA and IA3 alone.",
            "Start from another version, or from the base.",
        )
