"""What a chatter says about replies: thumbs, better answers, blind comparisons."""

from dataclasses import dataclass

from fastapi import APIRouter

from assistant import compare
from assistant.api import shapes
from assistant.api.answers import BlindPair, GivenRating
from assistant.api.bodies import Demonstration, Rating, Verdict, Vote
from assistant.api.context import Chatter, Parts, Rooms
from feedback import comparisons, demonstrations, ratings, votes
from feedback.errors import ConflictError
from feedback.ids import MessageId, UserId, VoteId
from feedback.votes import NewVote

router = APIRouter(tags=["Chatter"])


@dataclass(frozen=True)
class RatedReply:
    """`rating`: one's thumb as it stands now."""

    rating: GivenRating | None


@dataclass(frozen=True)
class DemonstratedReply:
    """`demonstration`: one's better answer as it stands now."""

    demonstration: str | None


@dataclass(frozen=True)
class GivenVote:
    id: VoteId


@dataclass(frozen=True)
class WithdrawnVote:
    withdrawn: VoteId


@router.put("/replies/{reply_id}/rating")
def rate(parts: Parts, user: Chatter, reply_id: MessageId, body: Rating) -> RatedReply:
    """A thumb, in place of one's earlier thumb."""
    parts.turns.owned(user.id, reply_id)
    ratings.record(parts.store, user.id, reply_id, body.value, body.reason)
    return RatedReply(GivenRating(body.value, body.reason))


@router.delete("/replies/{reply_id}/rating")
def unrate(parts: Parts, user: Chatter, reply_id: MessageId) -> RatedReply:
    """Take one's thumb back."""
    parts.turns.owned(user.id, reply_id)
    ratings.withdraw(parts.store, user.id, reply_id)
    return RatedReply(None)


@router.put("/replies/{reply_id}/demonstration")
def demonstrate(parts: Parts, user: Chatter, reply_id: MessageId, body: Demonstration) -> DemonstratedReply:
    """A better answer than this reply, in place of one's earlier one."""
    parts.turns.owned(user.id, reply_id)
    demonstrations.record(parts.store, user.id, reply_id, body.content)
    return DemonstratedReply(body.content)


@router.delete("/replies/{reply_id}/demonstration")
def undemonstrate(parts: Parts, user: Chatter, reply_id: MessageId) -> DemonstratedReply:
    """Take one's better answer back."""
    parts.turns.owned(user.id, reply_id)
    demonstrations.withdraw(parts.store, user.id, reply_id)
    return DemonstratedReply(None)


@router.post("/votes", status_code=201)
def rank(parts: Parts, user: Chatter, body: Vote) -> GivenVote:
    """Rank replies to one message of one's own that are on show, such as the n of one request."""
    shown = [parts.turns.owned(user.id, reply_id) for reply_id in body.replies]
    if any(reply.hidden_from_chat for reply in shown):
        raise ConflictError("A reply is being compared blind.", todo="Vote on that comparison.")
    ranks = tuple(body.ranks) if body.ranks is not None else None
    vote = NewVote(user.id, shown[0].parent_id or shown[0].id, tuple(body.replies), ranks, "api")
    return GivenVote(votes.record(parts.store, vote))


@router.delete("/votes/{vote_id}")
def take_back(parts: Parts, user: Chatter, vote_id: VoteId) -> WithdrawnVote:
    """Take one's own vote back; it stays in the record and counts no more."""
    votes.withdraw(parts.store, user.id, vote_id)
    return WithdrawnVote(vote_id)


@router.post("/replies/{reply_id}/compare", status_code=202)
def begin(parts: Parts, user: Chatter, reply_id: MessageId) -> BlindPair:
    """Draw a second reply beside this one, blind."""
    return _shown(parts, user.id, compare.start(parts.turns, user.id, reply_id))


@router.get("/comparisons/{comparison_id}")
def read(parts: Parts, user: Chatter, comparison_id: str) -> BlindPair:
    """A blind comparison: two replies side by side; who wrote which is told after the vote."""
    return _shown(parts, user.id, comparison_id)


@router.put("/comparisons/{comparison_id}/vote")
def vote(parts: Parts, user: Chatter, comparison_id: str, body: Verdict) -> BlindPair:
    """Vote, or change one's vote. ConflictError while a side is being written or when one failed."""
    pair = comparisons.get(parts.store, user.id, comparison_id)
    states = [parts.turns.state(reply_id) for reply_id in (pair.left_id, pair.right_id)]
    if any(state.status not in ("complete", "stopped") or not state.content.strip() for state in states):
        raise ConflictError("Both replies must be finished before a vote.", todo="Wait for them.")
    comparisons.vote(parts.store, user.id, comparison_id, body.verdict)
    return _shown(parts, user.id, comparison_id)


@router.delete("/comparisons/{comparison_id}/vote")
def withdraw(parts: Parts, user: Chatter, comparison_id: str) -> BlindPair:
    """Take one's vote on a comparison back."""
    comparisons.withdraw(parts.store, user.id, comparison_id)
    return _shown(parts, user.id, comparison_id)


def _shown(parts: Rooms, user_id: UserId, comparison_id: str) -> BlindPair:
    return shapes.comparison(parts.turns, comparisons.get(parts.store, user_id, comparison_id))
