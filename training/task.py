"""What a run computes, as data that any process can be handed, and the computing of it. Knows no store.

A run's own process computes a task itself, or hands it to several that train together (training.launch). Both
come to the same trainer with the same rows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant import base as bases
from assistant.base import Base
from training import online, recipes, texts
from training.crew import ALONE, Crew
from training.data import Row
from training.memory.peak import peak_bytes
from training.online import Online
from training.recipes import Recipe
from training.references import References

if TYPE_CHECKING:
    from training.trainers import Hooks, Job

ARITHMETIC = "one-rounding, few bits too"
"""How a model with an adapter computes (`quick_lora`): what was kept under another name is computed anew."""


@dataclass(frozen=True)
class Classes:
    """What a classifier learns beside rows: the number of each row's label, and of each of `unseen`; and the
    head that it starts with, `weight` (labels, width) and `bias` (labels,).
    """

    rows: tuple[int, ...]
    unseen: tuple[int, ...]
    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """`base` as it is to be loaded; `folder` the run's; `start` the champion's adapter.

    `references` is the file of what reference models said, kept there under `said_by` and the number type. Of
    a dataset, `unseen` are the rows held out, `unseen_bytes` of them, which a log calls `unseen_called`; of
    rlhf, which alone has `online`, the held-out pairs; of a classifier, which alone has `classes`, the texts
    that choose its epoch.
    """

    base: Base
    recipe: Recipe
    rows: tuple[Row, ...]
    folder: Path
    start: Path | None = None
    references: Path | None = None
    said_by: str = ""
    unseen: tuple[Row, ...] = ()
    unseen_bytes: int = 0
    unseen_called: str = ""
    online: Online | None = None
    classes: Classes | None = None


@dataclass(frozen=True)
class Trained:
    """The folder of what was trained, and the most memory that its process held: the first, of several."""

    folder: Path
    peak_bytes: int


def to_json(task: Task) -> str:
    return json.dumps(dataclasses.asdict(task), default=str)


def from_json(text: str) -> Task:
    """The inverse of `to_json`."""
    told = json.loads(text)
    places = {key: told[key] and Path(told[key]) for key in ("folder", "start", "references")}
    return Task(
        _base(told["base"]), recipes.from_mapping(told["recipe"]), _rows(told["rows"]), **places,
        said_by=told["said_by"], unseen=_rows(told["unseen"]), unseen_bytes=told["unseen_bytes"],
        unseen_called=told["unseen_called"], online=told["online"] and _online(told["online"]),
        classes=told["classes"] and _classes(**told["classes"]),
    )  # fmt: skip


def _base(told: dict[str, Any]) -> Base:
    return Base(**told | {"folder": Path(told["folder"])})


def _online(told: dict[str, Any]) -> Online:
    head = told["head"] and Path(told["head"])
    return Online(_base(told["base"]), head, _rows(told["judge"]), told["end_id"])


def _rows(told: list[dict[str, Any]]) -> tuple[Row, ...]:
    return tuple(
        Row(tuple(one["prompt_ids"]), tuple(one["chosen_ids"]), tuple(one["rejected_ids"]), one["liked"])
        for one in told
    )


def _classes(rows: list[int], unseen: list[int], weight: list[list[float]], bias: list[float]) -> Classes:
    return Classes(tuple(rows), tuple(unseen), tuple(tuple(row) for row in weight), tuple(bias))


def train(task: Task, hooks: Hooks, say: Callable[[str], None], crew: Crew = ALONE) -> Trained:
    """Train by every method, alone or as one of a crew."""
    if task.recipe.method == "classify":
        from training.classify import together

        return together.train(task, hooks, say, crew)
    from training import trainers
    from training.reward_model import train_reward

    by_method: dict[str, Callable[[Job, Hooks], Path]] = {
        "dpo": trainers.train_dpo,
        "kto": trainers.train_kto,
        "reward": train_reward,
    }
    model = load(task, crew)
    if task.recipe.method in ("sft", "clm"):
        measured = _measured(task, hooks, say) if crew.rank == 0 and task.unseen else None
        folder = trainers.train_sft(job(task, model, None, crew), hooks, measured)
    elif task.online is not None:
        folder = online.train(job(task, model, None, crew), task.online, task.unseen, hooks, say)
    elif task.references is None:
        folder = by_method[task.recipe.method](job(task, model, None, crew), hooks)
    else:  # another arithmetic gives other numbers
        with closing(References(task.references, f"{task.said_by}/{model.dtype}/{ARITHMETIC}")) as known:
            folder = by_method[task.recipe.method](job(task, model, known, crew), hooks)
    return Trained(folder, peak_bytes(task.base.device))


def load(task: Task, crew: Crew) -> Any:
    """The model on its device, or in main memory where accelerate is to move parts of it to each device."""
    return bases.load_model(replace(task.base, device="cpu") if crew.sharded else task.base)


def job(task: Task, model: Any, references: References | None, crew: Crew) -> Job:
    from training.trainers import Job

    tokenizer = bases.load_tokenizer(task.base)
    device = task.base.device
    return Job(model, tokenizer, task.rows, task.recipe, task.folder, task.start, device, references, crew)


def _measured(task: Task, hooks: Hooks, say: Callable[[str], None]) -> Callable[[Any, int, str], None]:
    """How well what is held out is predicted, before and after."""

    def measured(model: Any, step: int, when: str) -> None:
        found = texts.modelled(model, task.unseen, task.unseen_bytes)
        say(f"{task.unseen_called} {when}: {found.sentence()}.")
        told = {"held_out_nats": found.nats, "perplexity": found.perplexity}
        hooks.on_metrics(step, told | {"bits_per_byte": found.bits_per_byte})

    return measured
