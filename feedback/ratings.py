"""Ratings: a thumb up or down on one reply of one's own conversation, with a reason if one likes.

Never overwritten.
"""

from dataclasses import dataclass

from feedback import conversations
from feedback.errors import HoneError, NotFoundError
from feedback.ids import MessageId, RatingId, UserId, new_id
from feedback.store import Store, now


@dataclass(frozen=True)
class Rating:
    """A thumb that counts: value 1 is up, -1 is down."""

    id: RatingId
    user_id: UserId
    reply_id: MessageId
    value: int
    reason: str
    created_at: str


def record(store: Store, user_id: UserId, reply_id: MessageId, value: int, reason: str = "") -> RatingId:
    """Rate a reply 1 or -1; one's earlier rating of it is withdrawn and named by the new one.

    Raises HoneError for another value or a person's message, NotFoundError in another person's conversation.
    """
    if value not in (-1, 1):
        raise HoneError("A rating is 1 (thumb up) or -1 (thumb down).")
    with store.transaction():
        conversations.own_reply(store, user_id, reply_id)
        earlier = of_reply(store, user_id, reply_id)
        if earlier is not None:
            store.execute("UPDATE ratings SET withdrawn_at = ? WHERE id = ?", now(), earlier.id)
        rating_id = RatingId(new_id("ra"))
        store.execute(
            "INSERT INTO ratings (id, user_id, reply_id, value, reason, replaces_id, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rating_id,
            user_id,
            reply_id,
            value,
            reason.strip(),
            earlier.id if earlier else None,
            now(),
        )
    return rating_id


def withdraw(store: Store, user_id: UserId, reply_id: MessageId) -> None:
    """Take back one's rating of a reply. Raises NotFoundError when there is none."""
    if not store.execute(
        "UPDATE ratings SET withdrawn_at = ? WHERE user_id = ? AND reply_id = ? AND withdrawn_at IS NULL",
        now(),
        user_id,
        reply_id,
    ):
        raise NotFoundError("You have no rating of this reply.")


def of_reply(store: Store, user_id: UserId, reply_id: MessageId) -> Rating | None:
    """One's rating of a reply, if one has any that counts."""
    row = store.row(
        "SELECT id, user_id, reply_id, value, reason, created_at FROM ratings"
        " WHERE reply_id = ? AND user_id = ? AND withdrawn_at IS NULL",
        reply_id,
        user_id,
    )
    return Rating(**dict(row)) if row else None
