"""A classifier tuned by several processes: what they are handed, and what each of them does.

What they came to lies in the last checkpoint of the run's folder, where the run's own process takes it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from training.classify import model as trunks
from training.classify import tuning
from training.classify.probe import Head
from training.crew import Crew, meet
from training.data import Row
from training.memory.peak import peak_bytes
from training.task import Classes, Task, Trained

if TYPE_CHECKING:
    from training.classify.train import Job
    from training.trainers import Hooks


def handed(job: Job, rows: tuning.Rows, start: Head) -> Task:
    """The tuning as data: every number of it comes back as it was."""
    classes = Classes(
        tuple(rows.train_labels.tolist()),
        tuple(rows.calibration_labels.tolist()),
        tuple(map(tuple, start.weight.tolist())),
        tuple(start.bias.tolist()),
    )
    return Task(
        job.base, job.recipe, _rows(rows.train), job.folder, job.start_adapter,
        unseen=_rows(rows.calibration), classes=classes,
    )  # fmt: skip


def train(task: Task, hooks: Hooks, say: Callable[[str], None], crew: Crew) -> Trained:
    """Tune, alone or as one of a crew; returns the folder of checkpoints. HoneError as `tuning.tune`."""
    import torch

    assert task.classes is not None
    meet(crew, task.base.device)
    told = task.classes
    rows = tuning.Rows(
        [row.prompt_ids for row in task.rows],
        torch.tensor(told.rows),
        [row.prompt_ids for row in task.unseen],
        torch.tensor(told.unseen),
    )
    start = Head(torch.tensor(told.weight), torch.tensor(told.bias), 0.0)
    model = trunks.load(task.base, task.start, trainable=task.recipe.adapt == "lora")
    model = tuning.adapted(model, task.recipe)
    own = tuning.Task(rows, task.recipe, task.base.dtype, task.folder, crew)
    tuning.tune(model, start, own, tuning.Hooks(hooks.on_step, hooks.on_metrics, say, hooks.on_size))
    return Trained(task.folder / "checkpoints", peak_bytes(task.base.device))


def _rows(texts: Sequence[Sequence[int]]) -> tuple[Row, ...]:
    return tuple(Row(tuple(ids), (), ()) for ids in texts)
