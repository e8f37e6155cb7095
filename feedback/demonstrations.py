"""Demonstrations: the answer that a person wrote in place of a reply of their own conversation.

Never overwritten.
"""

from dataclasses import dataclass

from feedback import conversations
from feedback.errors import HoneError, NotFoundError
from feedback.ids import DemonstrationId, MessageId, UserId, new_id
from feedback.store import Store, now


@dataclass(frozen=True)
class Demonstration:
    """A better answer that counts; reply_id is the reply that it corrects."""

    id: DemonstrationId
    user_id: UserId
    reply_id: MessageId
    content: str
    created_at: str


def record(store: Store, user_id: UserId, reply_id: MessageId, content: str) -> DemonstrationId:
    """Keep a better answer; one's earlier one for this reply is withdrawn and named by the new one.

    Raises HoneError for an empty text or a person's message, NotFoundError in another person's conversation.
    """
    if not content.strip():
        raise HoneError("The better answer is empty.", todo="Write it, or cancel.")
    with store.transaction():
        conversations.own_reply(store, user_id, reply_id)
        earlier = of_reply(store, user_id, reply_id)
        if earlier is not None:
            store.execute("UPDATE demonstrations SET withdrawn_at = ? WHERE id = ?", now(), earlier.id)
        demonstration_id = DemonstrationId(new_id("d"))
        store.execute(
            "INSERT INTO demonstrations (id, user_id, reply_id, content, replaces_id, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            demonstration_id,
            user_id,
            reply_id,
            content,
            earlier.id if earlier else None,
            now(),
        )
    return demonstration_id


def withdraw(store: Store, user_id: UserId, reply_id: MessageId) -> None:
    """Take back one's better answer for a reply. Raises NotFoundError when there is none."""
    if not store.execute(
        "UPDATE demonstrations SET withdrawn_at = ? WHERE user_id = ? AND reply_id = ?"
        " AND withdrawn_at IS NULL",
        now(),
        user_id,
        reply_id,
    ):
        raise NotFoundError("You have written no better answer for this reply.")


def of_reply(store: Store, user_id: UserId, reply_id: MessageId) -> Demonstration | None:
    """One's better answer for a reply, if there is one that counts."""
    row = store.row(
        "SELECT id, user_id, reply_id, content, created_at FROM demonstrations"
        " WHERE reply_id = ? AND user_id = ? AND withdrawn_at IS NULL",
        reply_id,
        user_id,
    )
    return Demonstration(**dict(row)) if row else None
