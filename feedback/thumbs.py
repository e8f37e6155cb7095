"""Thumbs: single replies that people liked or did not, derived from ratings by one rule.

`derive` is pure; it knows no table. Pairs come from the same evidence (`feedback.pairs`); this is what is
left to learn from where nobody compared two replies (Ethayarajh et al., 2024, KTO).
"""

from dataclasses import dataclass

from feedback.evidence import Evidence, RatingEvidence
from feedback.message import Turn
from feedback.splits import prompt_sha256


@dataclass(frozen=True)
class Thumb:
    """One reply and what people hold of it. turns end with the user's message; reply is stripped.

    ended: that text was a whole reply at least once. rating_ids: the thumbs that agree.
    """

    turns: tuple[Turn, ...]
    system_text: str
    prompt_sha256: str
    reply: str
    ended: bool
    liked: bool
    rating_ids: tuple[str, ...]


def derive(evidence: Evidence) -> tuple[Thumb, ...]:
    """The thumbs that follow from the evidence, by this rule:

    1. A withdrawn thumb never counts; nor does one in a conversation without consent, or deleted.
    2. An empty or failed reply gives none. The same text to the same prompt is the same reply.
    3. A person's latest thumb of a reply replaces the earlier.
    4. Between people the majority decides; an even split gives none.

    In the order of prompt hash and reply, whatever the order of the evidence.
    """
    latest: dict[tuple[str, str, str], RatingEvidence] = {}
    for rating in sorted(evidence.ratings, key=lambda one: (one.at, one.id)):
        reply = evidence.replies[rating.reply_id]
        prompt = evidence.prompts[reply.prompt_id]
        text = reply.text.strip()
        if rating.withdrawn or prompt.excluded or not reply.usable or not text:
            continue
        sha = prompt_sha256(prompt.turns, prompt.system_text)
        latest[sha, text, rating.user_id] = rating
    by_reply: dict[tuple[str, str], list[RatingEvidence]] = {}
    for (sha, text, _), rating in latest.items():
        by_reply.setdefault((sha, text), []).append(rating)
    return tuple(
        _thumb(evidence, sha, text, ratings)
        for (sha, text), ratings in sorted(by_reply.items())
        if sum(rating.value for rating in ratings)
    )


def _thumb(evidence: Evidence, sha: str, text: str, ratings: list[RatingEvidence]) -> Thumb:
    liked = sum(rating.value for rating in ratings) > 0
    agreeing = sorted(rating.id for rating in ratings if (rating.value > 0) == liked)
    replies = [evidence.replies[rating.reply_id] for rating in ratings]
    # Prompts that differ in outer space alone share a hash; any will do, if it is always the same one.
    prompt = min(
        (evidence.prompts[reply.prompt_id] for reply in replies),
        key=lambda one: [one.system_text, *(turn.content for turn in one.turns)],
    )
    ended = any(reply.ended for reply in replies)
    return Thumb(prompt.turns, prompt.system_text, sha, text, ended, liked, tuple(agreeing))
