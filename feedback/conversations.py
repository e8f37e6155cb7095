"""Conversations: each person's list of them, and the door to what is in them.

Only its owner sees a conversation. Deleting hides it and ends its use; the rows stay, since snapshots may
name them.
"""

import sqlite3
from dataclasses import dataclass, fields
from typing import Literal

from feedback.errors import HoneError, NotFoundError
from feedback.ids import ConversationId, MessageId, UserId, new_id
from feedback.message import SEEDS, Message, Partial, ReplyEnd, ReplyStart, Sampling, ThreadItem, Turn
from feedback.on_show import reveal, select, thread
from feedback.store import Store, now
from feedback.titles import NEW_TITLE, one_line, words_query
from feedback.tree import (
    NO_LIMIT,
    add_given_reply,
    add_user_message,
    finish_reply,
    message,
    own_reply,
    path,
    recover,
    save_partials,
    start_reply,
)

__all__ = [
    "NEW_TITLE",
    "NO_LIMIT",
    "SEEDS",
    "Conversation",
    "Message",
    "Origin",
    "Partial",
    "ReplyEnd",
    "ReplyStart",
    "Sampling",
    "ThreadItem",
    "Turn",
    "add_given_reply",
    "add_user_message",
    "create",
    "delete",
    "finish_reply",
    "get",
    "listing",
    "message",
    "own_reply",
    "path",
    "recover",
    "rename",
    "reveal",
    "save_partials",
    "select",
    "start_reply",
    "system_text_of",
    "thread",
]


Origin = Literal["chat", "drawn", "api"]
"""Who began it: a person on the chat page, Hone itself for the label queue, or a program."""


@dataclass(frozen=True)
class Conversation:
    """One row of a person's list. Times are UTC, ISO 8601.

    `system_text`: what a program that holds it told the model to be; it stands first in every prompt.
    """

    id: ConversationId
    user_id: UserId
    title: str
    origin: str
    consent: bool
    selected_leaf_id: MessageId | None
    created_at: str
    updated_at: str
    system_text: str = ""


CONVERSATION_COLUMNS = ", ".join(f"c.{field.name}" for field in fields(Conversation))


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(**{**dict(row), "consent": bool(row["consent"])})


def create(
    store: Store,
    user_id: UserId,
    title: str = NEW_TITLE,
    origin: Origin = "chat",
    consent: bool = True,
    system_text: str = "",
) -> ConversationId:
    """A new, empty conversation. Left with NEW_TITLE, it takes its title from its first user message."""
    conversation_id = ConversationId(new_id("c"))
    at = now()
    store.execute(
        "INSERT INTO conversations (id, user_id, title, origin, consent, created_at, updated_at, system_text)"
        " VALUES (?,?,?,?,?,?,?,?)",
        conversation_id,
        user_id,
        one_line(title) or NEW_TITLE,
        origin,
        int(consent),
        at,
        at,
        system_text,
    )
    return conversation_id


def get(store: Store, user_id: UserId, conversation_id: ConversationId) -> Conversation:
    """One's own conversation.

    Raises NotFoundError when it is missing, deleted or another person's: the same words for all.
    """
    row = store.row(
        f"SELECT {CONVERSATION_COLUMNS} FROM conversations c"  # noqa: S608
        " WHERE c.id = ? AND c.user_id = ? AND c.deleted_at IS NULL",
        conversation_id,
        user_id,
    )
    if row is None:
        raise NotFoundError("There is no such conversation.", "It was deleted, or it is not yours.")
    return _conversation(row)


def system_text_of(store: Store, message_id: MessageId) -> str:
    """What stands first in every prompt of a message's conversation; "" for none."""
    row = store.row(
        "SELECT c.system_text FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE m.id = ?",
        message_id,
    )
    return row["system_text"] if row else ""


def listing(store: Store, user_id: UserId, search: str = "", origin: Origin = "chat") -> list[Conversation]:
    """One's conversations of one origin, latest first: what programs hold does not flood the chat's list.

    `search`: every word must begin a word of one message, or all of it stand in the title.
    """
    search = search.replace("\0", " ").strip()
    if not search:
        rows = store.rows(
            f"SELECT {CONVERSATION_COLUMNS} FROM conversations c"  # noqa: S608
            " WHERE c.user_id = ? AND c.deleted_at IS NULL AND c.origin = ? ORDER BY c.updated_at DESC",
            user_id,
            origin,
        )
    else:
        rows = store.rows(
            f"SELECT {CONVERSATION_COLUMNS} FROM conversations c"  # noqa: S608
            " WHERE c.user_id = ? AND c.deleted_at IS NULL AND c.origin = ?"
            " AND (instr(casefold(c.title), ?) OR c.id IN ("
            "   SELECT m.conversation_id FROM messages_fts f JOIN messages m ON m.rowid = f.rowid"
            "   WHERE messages_fts MATCH ? AND m.hidden_from_chat = 0))"
            " ORDER BY c.updated_at DESC",
            user_id,
            origin,
            search.casefold(),
            words_query(search),
        )
    return [_conversation(row) for row in rows]


def rename(store: Store, user_id: UserId, conversation_id: ConversationId, title: str) -> None:
    """Give one's conversation another title."""
    if not title.strip():
        raise HoneError("The title is empty.", todo="Type a title.")
    with store.transaction():
        get(store, user_id, conversation_id)
        store.execute(
            "UPDATE conversations SET title = ? WHERE id = ?", " ".join(title.split()), conversation_id
        )


def delete(store: Store, user_id: UserId, conversation_id: ConversationId) -> None:
    """Take one's conversation out of sight and out of all later pairs.

    The rows stay: snapshots may name them.
    """
    with store.transaction():
        get(store, user_id, conversation_id)
        store.execute("UPDATE conversations SET deleted_at = ? WHERE id = ?", now(), conversation_id)
