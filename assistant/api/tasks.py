"""The label queue for programs: the next task, a ranking, a skip, a step back. Blind, as on the page."""

from typing import Any

from fastapi import APIRouter

from assistant.api.bodies import Ranking, Skip
from assistant.api.context import Labeller, Parts
from feedback import label
from feedback.ids import TaskId, UserId
from feedback.label import Task
from feedback.store import Store

router = APIRouter(prefix="/tasks", tags=["Labeller"])


@router.get("/next")
def next_task(parts: Parts, user: Labeller) -> dict[str, Any]:
    """The task that waits longest for this person; null when none is left."""
    task = label.next_task(parts.store, user.id)
    return {"task": _shown(task) if task else None, "progress": _progress(parts.store, user.id)}


@router.get("/{task_id}")
def read(parts: Parts, user: Labeller, task_id: TaskId) -> dict[str, Any]:
    """One task, its replies always in the same order for one person."""
    return {"task": _shown(label.task(parts.store, user.id, task_id))}


@router.put("/{task_id}/ranking")
def rank(parts: Parts, user: Labeller, task_id: TaskId, body: Ranking) -> dict[str, Any]:
    """Vote on a task, or change one's vote: 1 is best, equal ranks are ties, null is all bad."""
    ranks = tuple(body.ranks) if body.ranks is not None else None
    vote = label.rank(parts.store, user.id, task_id, tuple(body.replies), ranks, source="api")
    return {"vote_id": vote, "progress": _progress(parts.store, user.id)}


@router.put("/{task_id}/skip")
def skip(parts: Parts, user: Labeller, task_id: TaskId, body: Skip) -> dict[str, Any]:
    """Pass a task by, and say why; it is not shown to this person again."""
    label.skip(parts.store, user.id, task_id, body.reason)
    return {"skipped": task_id, "progress": _progress(parts.store, user.id)}


@router.post("/undo")
def undo(parts: Parts, user: Labeller) -> dict[str, Any]:
    """Take back one's latest ranking or skip; null when there is none."""
    return {"task_id": label.undo(parts.store, user.id), "progress": _progress(parts.store, user.id)}


def _shown(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "guidelines": task.guidelines,
        "system_text": task.system_text,
        "turns": [{"role": turn.role, "content": turn.content} for turn in task.turns],
        "replies": [{"id": reply.reply_id, "content": reply.content} for reply in task.replies],
    }


def _progress(store: Store, user_id: UserId) -> dict[str, int]:
    found = label.progress(store, user_id)
    return {"done": found.done, "skipped": found.skipped, "open": found.open}
