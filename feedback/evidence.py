"""Evidence: every judgement in the store as plain data, with the prompts and replies it is about.

Knows no rule of pairs.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from feedback.ids import DEFAULT_PROJECT, MessageId, ProjectId, UserId
from feedback.message import Turn
from feedback.store import Store

Exclusion = Literal["no consent", "deleted conversation"]


@dataclass(frozen=True)
class PromptEvidence:
    """What was asked, after a caller's system text. excluded: why nothing said of it may be used, if so.
    whose: who asked it; None: nobody, it was drawn for the label queue.
    """

    turns: tuple[Turn, ...]
    excluded: Exclusion | None = None
    system_text: str = ""
    whose: UserId | None = None


@dataclass(frozen=True)
class ReplyEvidence:
    """A reply to a prompt. usable: it did not fail. ended: by itself; it was not cut off."""

    prompt_id: MessageId
    text: str
    usable: bool = True
    ended: bool = True


@dataclass(frozen=True)
class VoteEvidence:
    """One vote; ranks stand in the order of replies, None: all bad. at: UTC, ISO 8601."""

    id: str
    user_id: UserId
    prompt_id: MessageId
    replies: tuple[MessageId, ...]
    ranks: tuple[int, ...] | None
    at: str
    withdrawn: bool = False


@dataclass(frozen=True)
class RatingEvidence:
    """One thumb: value 1 or -1."""

    id: str
    user_id: UserId
    reply_id: MessageId
    value: int
    at: str
    withdrawn: bool = False


@dataclass(frozen=True)
class DemonstrationEvidence:
    """A better answer that a person wrote for a reply."""

    id: str
    user_id: UserId
    reply_id: MessageId
    content: str
    at: str
    withdrawn: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything `derive` may look at. Every id that a judgement names stands in prompts or replies."""

    prompts: Mapping[MessageId, PromptEvidence]
    replies: Mapping[MessageId, ReplyEvidence]
    votes: Sequence[VoteEvidence] = ()
    ratings: Sequence[RatingEvidence] = ()
    demonstrations: Sequence[DemonstrationEvidence] = ()


VOTES_SQL = """
SELECT v.id, v.user_id, v.prompt_message_id, v.created_at, v.withdrawn_at, v.all_bad, r.reply_id, r.rank
FROM votes v JOIN vote_replies r ON r.vote_id = v.id
WHERE ? IS NULL OR v.project_id = ? ORDER BY v.rowid, r.shown_position
"""

TURNS_SQL = """
WITH RECURSIVE up(prompt_id, id, height) AS (
  SELECT value, value, 0 FROM json_each(?)
  UNION ALL
  SELECT up.prompt_id, m.parent_id, up.height + 1
  FROM up JOIN messages m ON m.id = up.id WHERE m.parent_id IS NOT NULL
)
SELECT up.prompt_id, m.role, m.content, c.consent, c.deleted_at, c.system_text, c.user_id, c.origin
FROM up JOIN messages m ON m.id = up.id JOIN conversations c ON c.id = m.conversation_id
ORDER BY up.prompt_id, up.height DESC
"""


def read(store: Store, project_id: ProjectId | None = None) -> Evidence:
    """All judgements, or one label project's. Thumbs and demonstrations belong to the default project.

    Judgements are read before what they are about: messages are never removed, so each one named is there.
    """
    votes = _votes(store, project_id)
    from_chat = project_id in (None, DEFAULT_PROJECT)
    ratings = _ratings(store) if from_chat else []
    demonstrations = _demonstrations(store) if from_chat else []
    named = {reply for vote in votes for reply in vote.replies}
    named |= {rating.reply_id for rating in ratings}
    named |= {demonstration.reply_id for demonstration in demonstrations}
    replies = _replies(store, named)
    prompts = _prompts(store, {reply.prompt_id for reply in replies.values()})
    return Evidence(prompts, replies, votes, ratings, demonstrations)


def _ratings(store: Store) -> list[RatingEvidence]:
    return [
        RatingEvidence(
            row["id"], row["user_id"], row["reply_id"], row["value"], row["created_at"], bool(row["gone"])
        )
        for row in store.rows(
            "SELECT id, user_id, reply_id, value, created_at, withdrawn_at IS NOT NULL AS gone FROM ratings"
        )
    ]


def _demonstrations(store: Store) -> list[DemonstrationEvidence]:
    return [
        DemonstrationEvidence(
            row["id"], row["user_id"], row["reply_id"], row["content"], row["created_at"], bool(row["gone"])
        )
        for row in store.rows(
            "SELECT id, user_id, reply_id, content, created_at, withdrawn_at IS NOT NULL AS gone"
            " FROM demonstrations"
        )
    ]


def _votes(store: Store, project_id: ProjectId | None) -> list[VoteEvidence]:
    grouped: dict[str, list[sqlite3.Row]] = {}
    for row in store.rows(VOTES_SQL, project_id, project_id):
        grouped.setdefault(row["id"], []).append(row)
    return [
        VoteEvidence(
            id=vote_id,
            user_id=rows[0]["user_id"],
            prompt_id=rows[0]["prompt_message_id"],
            replies=tuple(row["reply_id"] for row in rows),
            ranks=None if rows[0]["all_bad"] else tuple(row["rank"] for row in rows),
            at=rows[0]["created_at"],
            withdrawn=rows[0]["withdrawn_at"] is not None,
        )
        for vote_id, rows in grouped.items()
    ]


def _replies(store: Store, reply_ids: set[MessageId]) -> dict[MessageId, ReplyEvidence]:
    return {
        row["id"]: ReplyEvidence(
            row["parent_id"],
            row["content"],
            usable=row["status"] in ("complete", "stopped"),
            ended=bool(row["ended"]) and row["status"] == "complete",
        )
        for row in store.rows(
            "SELECT id, parent_id, content, status, ended FROM messages"
            " WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(sorted(reply_ids)),
        )
    }


def _prompts(store: Store, prompt_ids: set[MessageId]) -> dict[MessageId, PromptEvidence]:
    turns: dict[MessageId, list[Turn]] = {}
    excluded: dict[MessageId, Exclusion | None] = {}
    system_texts: dict[MessageId, str] = {}
    whose: dict[MessageId, UserId | None] = {}
    for row in store.rows(TURNS_SQL, json.dumps(sorted(prompt_ids))):
        turns.setdefault(row["prompt_id"], []).append(Turn(row["role"], row["content"]))
        system_texts[row["prompt_id"]] = row["system_text"]
        whose[row["prompt_id"]] = None if row["origin"] == "drawn" else row["user_id"]
        excluded[row["prompt_id"]] = (
            "deleted conversation" if row["deleted_at"] else None if row["consent"] else "no consent"
        )
    return {
        prompt_id: PromptEvidence(tuple(path), excluded[prompt_id], system_texts[prompt_id], whose[prompt_id])
        for prompt_id, path in turns.items()
    }
