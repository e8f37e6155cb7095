"""The label queue: prompts with two to four replies that wait for a person's ranking.

Blind: texts, never names.

Each person meets a task once, in an order of replies of their own; a task closes when as many people as the
project's overlap have voted on it. Knows no page.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from feedback import conversations, votes
from feedback.conversations import Turn
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import DEFAULT_PROJECT, MessageId, ProjectId, TaskId, UserId, VoteId, new_id
from feedback.store import Store, now

MOST_REPLIES = 4  # keys 1 to 4


@dataclass(frozen=True)
class Project:
    """A queue with guidelines of its own; overlap is how many people vote on each task."""

    id: ProjectId
    name: str
    guidelines: str
    overlap: int


@dataclass(frozen=True)
class Shown:
    """A reply as a labeller sees it."""

    reply_id: MessageId
    content: str


@dataclass(frozen=True)
class Task:
    """What to rank. turns lead up to and end with the prompt; replies stand in this person's order.
    `system_text`: what a program had told the model to be.
    """

    id: TaskId
    turns: tuple[Turn, ...]
    replies: tuple[Shown, ...]
    guidelines: str
    system_text: str = ""


@dataclass(frozen=True)
class Progress:
    """One person's tasks in one project: voted on, skipped, and still open to them."""

    done: int
    skipped: int
    open: int


def project(store: Store, project_id: ProjectId = DEFAULT_PROJECT) -> Project:
    """A label project. Raises NotFoundError."""
    row = store.row("SELECT id, name, guidelines, overlap FROM label_projects WHERE id = ?", project_id)
    if row is None:
        raise NotFoundError("There is no such label project.")
    return Project(**dict(row))


def add_task(
    store: Store,
    prompt_message_id: MessageId,
    reply_ids: Sequence[MessageId],
    project_id: ProjectId = DEFAULT_PROJECT,
    priority: float = 0.0,
) -> TaskId:
    """Queue two to four finished replies to one prompt.

    Higher priority comes first. Raises HoneError for other replies.
    """
    if not 2 <= len(set(reply_ids)) == len(reply_ids) <= MOST_REPLIES:
        raise HoneError(f"A label task takes two to {MOST_REPLIES} different replies.")
    with store.transaction():
        for reply_id in reply_ids:
            reply = conversations.message(store, reply_id)
            if reply.parent_id != prompt_message_id or reply.status not in ("complete", "stopped"):
                raise HoneError("A label task takes finished replies to one prompt.")
        task_id = TaskId(new_id("t"))
        store.execute(
            "INSERT INTO label_tasks (id, project_id, prompt_message_id, priority, created_at)"
            " VALUES (?, ?, ?, ?, ?)",
            task_id,
            project_id,
            prompt_message_id,
            priority,
            now(),
        )
        for reply_id in reply_ids:
            store.execute(
                "INSERT INTO label_task_replies (task_id, reply_id) VALUES (?, ?)", task_id, reply_id
            )
    return task_id


# Open to a person: not closed, not skipped or voted on by them, and its conversation may be used.
OPEN_SQL = """
FROM label_tasks t
  JOIN messages m ON m.id = t.prompt_message_id
  JOIN conversations c ON c.id = m.conversation_id
WHERE t.project_id = ?1 AND t.closed_at IS NULL AND c.consent = 1 AND c.deleted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.task_id = t.id AND v.user_id = ?2 AND v.withdrawn_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM label_skips s WHERE s.task_id = t.id AND s.user_id = ?2)
"""


PROGRESS_SQL = f"""
SELECT (SELECT count(*) FROM votes v WHERE v.user_id = ?2 AND v.project_id = ?1 AND v.task_id IS NOT NULL
          AND v.withdrawn_at IS NULL) AS done,
       (SELECT count(*) FROM label_skips s JOIN label_tasks t ON t.id = s.task_id
        WHERE s.user_id = ?2 AND t.project_id = ?1) AS skipped,
       (SELECT count(*) {OPEN_SQL}) AS open
"""  # noqa: S608


def next_task(store: Store, user_id: UserId, project_id: ProjectId = DEFAULT_PROJECT) -> Task | None:
    """The open task of highest priority, then the oldest; None when there is nothing left for this person."""
    row = store.row(
        f"SELECT t.id {OPEN_SQL} ORDER BY t.priority DESC, t.rowid LIMIT 1",
        project_id,
        user_id,
    )
    return task(store, user_id, row["id"]) if row else None


def task(store: Store, user_id: UserId, task_id: TaskId) -> Task:
    """A task as this person sees it, always in the same order.

    Raises NotFoundError when it is missing or withheld.
    """
    row = store.row(
        "SELECT t.prompt_message_id, p.guidelines, c.system_text FROM label_tasks t"
        " JOIN label_projects p ON p.id = t.project_id"
        " JOIN messages m ON m.id = t.prompt_message_id JOIN conversations c ON c.id = m.conversation_id"
        " WHERE t.id = ? AND c.consent = 1 AND c.deleted_at IS NULL",
        task_id,
    )
    if row is None:
        raise NotFoundError("There is no such label task.", "Its conversation may have been deleted.")
    replies = store.rows(
        "SELECT m.id, m.content FROM label_task_replies r JOIN messages m ON m.id = r.reply_id"
        " WHERE r.task_id = ?",
        task_id,
    )
    turns = tuple(message.turn for message in conversations.path(store, row["prompt_message_id"]))
    return Task(
        task_id,
        turns,
        tuple(
            Shown(reply["id"], reply["content"])
            for reply in sorted(replies, key=lambda reply: _lot(task_id, user_id, reply["id"]))
        ),
        row["guidelines"],
        row["system_text"],
    )


def _lot(task_id: TaskId, user_id: UserId, reply_id: MessageId) -> str:
    """A place by lot: the order of writing does not tell it, and a reload does not change it."""
    return hashlib.sha256(f"{task_id} {user_id} {reply_id}".encode()).hexdigest()


def rank(
    store: Store,
    user_id: UserId,
    task_id: TaskId,
    shown: tuple[MessageId, ...],
    ranks: tuple[int, ...] | None,
    source: votes.Source = "label",
) -> VoteId:
    """Vote on a task; a second time changes one's vote. ranks stand in the order of shown, None: all bad.

    Raises HoneError unless shown are exactly the task's replies, NotFoundError when the task is missing or
    withheld.
    """
    with store.transaction():
        asked = task(store, user_id, task_id)
        if sorted(shown) != sorted(reply.reply_id for reply in asked.replies):
            raise HoneError("The ranking does not fit this task's replies.", todo="Reload the task.")
        of_task = store.rows("SELECT prompt_message_id, project_id FROM label_tasks WHERE id = ?", task_id)[0]
        mine = store.row(
            "SELECT id FROM votes WHERE task_id = ? AND user_id = ? AND withdrawn_at IS NULL",
            task_id,
            user_id,
        )
        store.execute("DELETE FROM label_skips WHERE task_id = ? AND user_id = ?", task_id, user_id)
        return votes.record(
            store,
            votes.NewVote(
                user_id=user_id,
                prompt_message_id=of_task["prompt_message_id"],
                shown=tuple(shown),
                ranks=ranks,
                source=source,
                project_id=of_task["project_id"],
                task_id=task_id,
                replaces=mine["id"] if mine else None,
            ),
        )


def skip(store: Store, user_id: UserId, task_id: TaskId, reason: str) -> None:
    """Pass a task by, and say why; it is not shown to this person again.

    Raises HoneError without a reason.
    """
    if not reason.strip():
        raise HoneError("A skip needs a reason.", todo="Say why you pass this one by.")
    with store.transaction():
        task(store, user_id, task_id)
        if store.rows(
            "SELECT 1 FROM votes WHERE task_id = ? AND user_id = ? AND withdrawn_at IS NULL", task_id, user_id
        ):
            raise ConflictError("You have already ranked this task.", todo="Undo it first.")
        store.execute(
            "INSERT INTO label_skips (task_id, user_id, reason, created_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (task_id, user_id)"
            " DO UPDATE SET reason = excluded.reason, created_at = excluded.created_at",
            task_id,
            user_id,
            reason.strip(),
            now(),
        )


def undo(store: Store, user_id: UserId) -> TaskId | None:
    """Take back one's latest rank or skip that still counts; returns its task, None without any."""
    with store.transaction():
        latest = store.row(
            "SELECT * FROM (SELECT task_id, id AS vote_id, created_at FROM votes"
            "  WHERE user_id = ?1 AND task_id IS NOT NULL AND withdrawn_at IS NULL"
            " UNION ALL SELECT task_id, NULL, created_at FROM label_skips WHERE user_id = ?1)"
            " ORDER BY created_at DESC LIMIT 1",
            user_id,
        )
        if latest is None:
            return None
        if latest["vote_id"] is not None:
            votes.withdraw(store, user_id, latest["vote_id"])
        else:
            store.execute(
                "DELETE FROM label_skips WHERE task_id = ? AND user_id = ?", latest["task_id"], user_id
            )
    return latest["task_id"]


def progress(store: Store, user_id: UserId, project_id: ProjectId = DEFAULT_PROJECT) -> Progress:
    """How far one person is."""
    counts = store.rows(PROGRESS_SQL, project_id, user_id)[0]
    return Progress(**dict(counts))


def enqueue_branches(store: Store, project_id: ProjectId = DEFAULT_PROJECT) -> int:
    """Queue what people's own chats have made comparable; returns how many tasks that gave.

    A prompt qualifies whose conversation may be used, with two to four complete replies on show that all
    differ in text, and with no vote and no task yet.
    """
    with store.transaction():
        found = store.rows(
            "SELECT r.parent_id AS prompt_id, json_group_array(r.id) AS reply_ids"
            " FROM messages r JOIN conversations c ON c.id = r.conversation_id"
            " WHERE r.role = 'assistant' AND r.status = 'complete' AND r.hidden_from_chat = 0"
            " AND trim(r.content) <> ''"
            "  AND c.consent = 1 AND c.deleted_at IS NULL"
            "  AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.prompt_message_id = r.parent_id"
            " AND v.withdrawn_at IS NULL)"
            "  AND NOT EXISTS (SELECT 1 FROM label_tasks t WHERE t.prompt_message_id = r.parent_id)"
            " GROUP BY r.parent_id"
            " HAVING count(*) BETWEEN 2 AND ? AND count(DISTINCT trim(r.content)) = count(*)"
            " ORDER BY min(r.rowid)",
            MOST_REPLIES,
        )
        for row in found:
            add_task(store, row["prompt_id"], json.loads(row["reply_ids"]), project_id)
    return len(found)
