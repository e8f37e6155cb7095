"""The label queue for programs: the next task, a ranking, a skip, a step back. Blind, as on the page."""

from dataclasses import dataclass

from fastapi import APIRouter

from assistant.api.bodies import Ranking, Skip
from assistant.api.context import Labeller, Parts
from feedback import label
from feedback.ids import MessageId, TaskId, VoteId
from feedback.label import Progress, Task
from feedback.message import Turn

router = APIRouter(prefix="/tasks", tags=["Labeller"])


@dataclass(frozen=True)
class BlindReply:
    id: MessageId
    content: str


@dataclass(frozen=True)
class LabelTask:
    """What to rank. `turns` lead up to and end with the prompt; `system_text`: what a program had put before
    them.
    """

    id: TaskId
    guidelines: str
    system_text: str
    turns: tuple[Turn, ...]
    replies: tuple[BlindReply, ...]


@dataclass(frozen=True)
class ReadTask:
    task: LabelTask


@dataclass(frozen=True)
class NextTask:
    task: LabelTask | None
    progress: Progress


@dataclass(frozen=True)
class RankedTask:
    vote_id: VoteId
    progress: Progress


@dataclass(frozen=True)
class SkippedTask:
    skipped: TaskId
    progress: Progress


@dataclass(frozen=True)
class UndoneTask:
    task_id: TaskId | None
    progress: Progress


@router.get("/next")
def next_task(parts: Parts, user: Labeller) -> NextTask:
    """The task that waits longest for this person; null when none is left."""
    task = label.next_task(parts.store, user.id)
    return NextTask(_shown(task) if task else None, label.progress(parts.store, user.id))


@router.get("/{task_id}")
def read(parts: Parts, user: Labeller, task_id: TaskId) -> ReadTask:
    """One task, its replies always in the same order for one person."""
    return ReadTask(_shown(label.task(parts.store, user.id, task_id)))


@router.put("/{task_id}/ranking")
def rank(parts: Parts, user: Labeller, task_id: TaskId, body: Ranking) -> RankedTask:
    """Vote on a task, or change one's vote: 1 is best, equal ranks are ties, null is all bad."""
    ranks = tuple(body.ranks) if body.ranks is not None else None
    vote = label.rank(parts.store, user.id, task_id, tuple(body.replies), ranks, source="api")
    return RankedTask(vote, label.progress(parts.store, user.id))


@router.put("/{task_id}/skip")
def skip(parts: Parts, user: Labeller, task_id: TaskId, body: Skip) -> SkippedTask:
    """Pass a task by, and say why; it is not shown to this person again."""
    label.skip(parts.store, user.id, task_id, body.reason)
    return SkippedTask(task_id, label.progress(parts.store, user.id))


@router.post("/undo")
def undo(parts: Parts, user: Labeller) -> UndoneTask:
    """Take back one's latest ranking or skip; null when there is none."""
    undone = label.undo(parts.store, user.id)
    return UndoneTask(undone, label.progress(parts.store, user.id))


def _shown(task: Task) -> LabelTask:
    replies = tuple(BlindReply(reply.reply_id, reply.content) for reply in task.replies)
    return LabelTask(task.id, task.guidelines, task.system_text, task.turns, replies)
