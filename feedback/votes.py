"""Votes: one person's order of two or more replies to one prompt, in the order in which they were shown.

A vote never changes: changing one's mind writes a new vote that names the old, and withdraws the old. Knows
the label queue only so far as a task closes when enough people have voted on it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import DEFAULT_PROJECT, MessageId, ProjectId, TaskId, UserId, VoteId, new_id
from feedback.store import Store, now

Source = Literal["compare", "label", "api", "simulated"]


@dataclass(frozen=True)
class NewVote:
    """A vote to record. ranks stand in shown order: 1 is best, equal ranks are ties, None is all bad."""

    user_id: UserId
    prompt_message_id: MessageId
    shown: tuple[MessageId, ...]
    ranks: tuple[int, ...] | None
    source: Source
    project_id: ProjectId = DEFAULT_PROJECT
    task_id: TaskId | None = None
    replaces: VoteId | None = None


@dataclass(frozen=True)
class Vote:
    """A vote as it stands in the store. ranks are dense (1..k) and stand in shown order."""

    id: VoteId
    user_id: UserId
    prompt_message_id: MessageId
    shown: tuple[MessageId, ...]
    ranks: tuple[int, ...] | None
    source: Source
    project_id: ProjectId
    task_id: TaskId | None
    replaces_id: VoteId | None
    created_at: str
    withdrawn_at: str | None


def dense(ranks: Sequence[int]) -> tuple[int, ...]:
    """The same order and ties with ranks 1..k and no gaps: (2, 7, 7) becomes (1, 2, 2)."""
    place = {rank: position for position, rank in enumerate(sorted(set(ranks)), start=1)}
    return tuple(place[rank] for rank in ranks)


def record(store: Store, vote: NewVote) -> VoteId:
    """Keep a vote; when this returns, it is on the disc.

    Raises HoneError when the replies are not two or more different, finished replies to the prompt or the
    ranks do not fit them; ConflictError or NotFoundError when the vote it replaces is withdrawn or another
    person's.
    """
    _check_form(vote)
    with store.transaction():
        _check_replies(store, vote)
        if vote.replaces is not None:
            _retire(store, vote.user_id, vote.replaces, vote.prompt_message_id)
        vote_id = VoteId(new_id("v"))
        store.execute(
            "INSERT INTO votes (id, user_id, prompt_message_id, task_id, project_id, source, all_bad,"
            " replaces_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            vote_id,
            vote.user_id,
            vote.prompt_message_id,
            vote.task_id,
            vote.project_id,
            vote.source,
            int(vote.ranks is None),
            vote.replaces,
            now(),
        )
        ranks = [None] * len(vote.shown) if vote.ranks is None else dense(vote.ranks)
        for position, (reply_id, rank) in enumerate(zip(vote.shown, ranks, strict=True)):
            store.execute(
                "INSERT INTO vote_replies (vote_id, reply_id, shown_position, rank) VALUES (?, ?, ?, ?)",
                vote_id,
                reply_id,
                position,
                rank,
            )
        _settle(store, vote.task_id)
    return vote_id


def _check_form(vote: NewVote) -> None:
    if len(vote.shown) < 2 or len(set(vote.shown)) != len(vote.shown):
        raise HoneError("A vote needs at least two different replies.")
    if vote.ranks is not None and len(vote.ranks) != len(vote.shown):
        raise HoneError(f"A vote on {len(vote.shown)} replies needs as many ranks, not {len(vote.ranks)}.")


def _check_replies(store: Store, vote: NewVote) -> None:
    for reply_id in vote.shown:
        row = store.row("SELECT parent_id, role, status FROM messages WHERE id = ?", reply_id)
        if row is None or row["role"] != "assistant" or row["parent_id"] != vote.prompt_message_id:
            raise HoneError("A vote can only compare replies to one prompt.")
        if row["status"] == "writing":
            raise ConflictError("A reply is still being written.", todo="Vote when it is finished.")
        if row["status"] == "failed":
            raise ConflictError("A reply that failed cannot be voted on.", todo="Ask for another.")


def _retire(
    store: Store, user_id: UserId, vote_id: VoteId, prompt_message_id: MessageId | None = None
) -> Vote:
    """Mark one's active vote as withdrawn and return what it was."""
    old = get(store, vote_id)
    if old.user_id != user_id or prompt_message_id not in (None, old.prompt_message_id):
        raise NotFoundError("You have no such vote.")
    if old.withdrawn_at is not None:
        raise ConflictError(
            "This vote was already changed or withdrawn.", todo="Reload to see the present one."
        )
    store.execute("UPDATE votes SET withdrawn_at = ? WHERE id = ?", now(), vote_id)
    return old


def _settle(store: Store, task_id: TaskId | None) -> None:
    """Close a label task that enough people have voted on; open it again when a vote on it was taken back."""
    if task_id is None:
        return
    row = store.row(
        "SELECT t.closed_at, (SELECT count(DISTINCT v.user_id) FROM votes v WHERE v.task_id = t.id"
        " AND v.withdrawn_at IS NULL) >= p.overlap AS enough"
        " FROM label_tasks t JOIN label_projects p ON p.id = t.project_id WHERE t.id = ?",
        task_id,
    )
    if row is None:
        raise NotFoundError("There is no such label task.")
    if bool(row["enough"]) != (row["closed_at"] is not None):
        store.execute(
            "UPDATE label_tasks SET closed_at = ? WHERE id = ?", now() if row["enough"] else None, task_id
        )


def withdraw(store: Store, user_id: UserId, vote_id: VoteId) -> None:
    """Take back one's own vote: it stays in the record and counts no more.

    Raises NotFoundError, ConflictError.
    """
    with store.transaction():
        _settle(store, _retire(store, user_id, vote_id).task_id)


def get(store: Store, vote_id: VoteId) -> Vote:
    """One vote, withdrawn or not. Raises NotFoundError."""
    found = _votes(store.rows(VOTES_SQL.format(where="v.id = ?"), vote_id))
    if not found:
        raise NotFoundError("There is no such vote.")
    return found[0]


def of_prompt(store: Store, prompt_message_id: MessageId) -> list[Vote]:
    """The votes that count on replies to one prompt, oldest first."""
    return _votes(
        store.rows(
            VOTES_SQL.format(where="v.prompt_message_id = ? AND v.withdrawn_at IS NULL"), prompt_message_id
        )
    )


VOTES_SQL = """
SELECT v.id, v.user_id, v.prompt_message_id, v.source, v.project_id, v.task_id, v.all_bad, v.replaces_id,
       v.created_at, v.withdrawn_at, r.reply_id, r.rank
FROM votes v JOIN vote_replies r ON r.vote_id = v.id WHERE {where} ORDER BY v.rowid, r.shown_position
"""


def _votes(rows: Sequence[sqlite3.Row]) -> list[Vote]:
    grouped: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        grouped.setdefault(row["id"], []).append(row)
    return [
        Vote(
            id=VoteId(vote_id),
            user_id=group[0]["user_id"],
            prompt_message_id=group[0]["prompt_message_id"],
            shown=tuple(row["reply_id"] for row in group),
            ranks=None if group[0]["all_bad"] else tuple(row["rank"] for row in group),
            source=group[0]["source"],
            project_id=group[0]["project_id"],
            task_id=group[0]["task_id"],
            replaces_id=group[0]["replaces_id"],
            created_at=group[0]["created_at"],
            withdrawn_at=group[0]["withdrawn_at"],
        )
        for vote_id, group in grouped.items()
    ]
