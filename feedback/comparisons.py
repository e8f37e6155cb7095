"""Comparisons: two replies to one message, shown side by side without names, and the vote that may follow.

Which one stands left is drawn by lot and stored before anyone sees it. Names are the page's to show, after
the vote.
"""

import secrets
from dataclasses import dataclass
from typing import Literal

from feedback import conversations, votes
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import MessageId, UserId, VoteId, new_id
from feedback.store import Store, now

Verdict = Literal["left", "right", "tie", "both_bad"]

# Ranks of (left, right); None means all bad.
RANKS: dict[Verdict, tuple[int, int] | None] = {
    "left": (1, 2),
    "right": (2, 1),
    "tie": (1, 1),
    "both_bad": None,
}
_LOT = secrets.SystemRandom()


@dataclass(frozen=True)
class Comparison:
    """A pair as shown. vote_id is the vote that counts, None before voting and after withdrawing."""

    id: str
    user_id: UserId
    prompt_message_id: MessageId
    left_id: MessageId
    right_id: MessageId
    vote_id: VoteId | None
    created_at: str


def open_pair(store: Store, user_id: UserId, left_id: MessageId, right_id: MessageId) -> str:
    """Set up two replies for a blind comparison and return its id.

    Sides are drawn anew, whatever the names say.

    A reply may still be being written: both are then watched side by side, and the vote waits for them.
    Raises HoneError unless they are different replies to one message, ConflictError when one failed,
    NotFoundError in another person's conversation.
    """
    with store.transaction():
        replies = [conversations.own_reply(store, user_id, reply_id) for reply_id in (left_id, right_id)]
        if left_id == right_id or replies[0].parent_id != replies[1].parent_id:
            raise HoneError("Only two different replies to one message can be compared.")
        if any(reply.status == "failed" for reply in replies):
            raise ConflictError("A reply that failed cannot be compared.", todo="Ask for another.")
        _LOT.shuffle(replies)
        comparison_id = new_id("cmp")
        store.execute(
            "INSERT INTO comparisons (id, user_id, prompt_message_id, left_id, right_id, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            comparison_id,
            user_id,
            replies[0].parent_id,
            replies[0].id,
            replies[1].id,
            now(),
        )
    return comparison_id


def get(store: Store, user_id: UserId, comparison_id: str) -> Comparison:
    """One's own comparison. Raises NotFoundError."""
    row = store.row(
        "SELECT id, user_id, prompt_message_id, left_id, right_id, vote_id, created_at FROM comparisons"
        " WHERE id = ? AND user_id = ?",
        comparison_id,
        user_id,
    )
    if row is None:
        raise NotFoundError("There is no such comparison.")
    return Comparison(**dict(row))


def vote(store: Store, user_id: UserId, comparison_id: str, said: Verdict) -> VoteId:
    """Record a verdict (again: change it). Both replies are branches of the conversation from then on.

    Raises ConflictError unless both replies are finished, NotFoundError for another person's comparison.
    """
    if said not in RANKS:
        raise HoneError(f"A verdict is one of {', '.join(RANKS)}.")
    with store.transaction():
        shown = get(store, user_id, comparison_id)
        vote_id = votes.record(
            store,
            votes.NewVote(
                user_id=user_id,
                prompt_message_id=shown.prompt_message_id,
                shown=(shown.left_id, shown.right_id),
                ranks=RANKS[said],
                source="compare",
                replaces=shown.vote_id if verdict(store, shown) else None,
            ),
        )
        store.execute("UPDATE comparisons SET vote_id = ? WHERE id = ?", vote_id, comparison_id)
        conversations.reveal(store, shown.left_id)
        conversations.reveal(store, shown.right_id)
    return vote_id


def verdict(store: Store, comparison: Comparison) -> Verdict | None:
    """What was said of a comparison, in its own words; None while no vote counts."""
    if comparison.vote_id is None:
        return None
    cast = votes.get(store, comparison.vote_id)
    if cast.withdrawn_at is not None:
        return None
    return next(word for word, ranks in RANKS.items() if ranks == cast.ranks)


def withdraw(store: Store, user_id: UserId, comparison_id: str) -> None:
    """Take back the vote of a comparison. Raises NotFoundError when it has none."""
    with store.transaction():
        shown = get(store, user_id, comparison_id)
        if shown.vote_id is None or verdict(store, shown) is None:
            raise NotFoundError("You have not voted on this comparison.")
        votes.withdraw(store, user_id, shown.vote_id)
        store.execute("UPDATE comparisons SET vote_id = NULL WHERE id = ?", comparison_id)
