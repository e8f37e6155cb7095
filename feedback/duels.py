"""Duels: two replies to one prompt by different makers, and whom one person preferred. For win rates.

Derived from judgements as pairs are, by one pure rule; but a pair is about two texts, whoever wrote them, and
a duel about who wrote them, whatever the text. Knows no table and no model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from feedback.evidence import Evidence, ReplyEvidence
from feedback.ids import MessageId, ModelVersionId, PromptVersionId, UserId
from feedback.splits import prompt_sha256


@dataclass(frozen=True, order=True)
class Maker:
    """What wrote a reply: a prompt version on a model version."""

    prompt_version_id: PromptVersionId
    model_version_id: ModelVersionId


@dataclass(frozen=True)
class Duel:
    """One person's judgement of two makers' replies to one prompt. `score` is `first`'s: 1 won, 0 lost, 0.5
    neither.
    """

    user_id: UserId
    prompt_sha256: str
    first: Maker
    second: Maker
    score: float


@dataclass(frozen=True)
class Thumbs:
    """Thumbs that people gave one maker's replies."""

    up: int = 0
    down: int = 0

    @property
    def total(self) -> int:
        return self.up + self.down


def derive(evidence: Evidence) -> list[Duel]:
    """The duels that follow from votes, by this rule:

    1. A withdrawn vote, a simulated one, and one in a conversation without consent or deleted never count.
    2. A vote gives each two of its replies by different makers, in its order; a tie and "all bad" give half.
    3. Replies that failed, are empty, or say the same give none.
    4. A person's latest vote on the same two texts to the same prompt replaces the earlier.

    Only votes tell how makers compare: a thumb is given to one reply, and says nothing of another.
    """
    latest: dict[tuple[UserId, str, str, str], tuple[str, Duel]] = {}
    for vote in evidence.votes:
        prompt = evidence.prompts[vote.prompt_id]
        if vote.withdrawn or not vote.by_person or prompt.excluded is not None:
            continue
        sha = prompt_sha256(prompt.turns, prompt.system_text)
        ranked = sorted(zip(vote.replies, vote.ranks or (1,) * len(vote.replies), strict=True))
        for first, second, score in _met(evidence, ranked):
            texts = sorted((first.text.strip(), second.text.strip()))
            duel = Duel(vote.user_id, sha, maker(first), maker(second), score)
            about = (vote.user_id, sha, texts[0], texts[1])
            if about not in latest or latest[about][0] <= vote.at:
                latest[about] = (vote.at, duel)
    return [duel for _, duel in latest.values() if duel.first != duel.second]


def _met(
    evidence: Evidence, ranked: list[tuple[MessageId, int]]
) -> Iterator[tuple[ReplyEvidence, ReplyEvidence, float]]:
    for (one, one_rank), (other, other_rank) in combinations(ranked, 2):
        first, second = evidence.replies[one], evidence.replies[other]
        score = 0.5 + ((one_rank < other_rank) - (one_rank > other_rank)) / 2
        if _says(first) and _says(second) and first.text.strip() != second.text.strip():
            yield first, second, score


def _says(reply: ReplyEvidence) -> bool:
    """Whether it can be held against another: a maker of ours wrote it, and it says something."""
    made = reply.model_version_id is not None and reply.prompt_version_id is not None
    return made and reply.usable and bool(reply.text.strip())


def maker(reply: ReplyEvidence) -> Maker:
    """Who wrote a reply. ValueError for one that no model of ours wrote."""
    if reply.prompt_version_id is None or reply.model_version_id is None:
        raise ValueError("this reply was given, not written")
    return Maker(reply.prompt_version_id, reply.model_version_id)


def thumbs(evidence: Evidence) -> dict[Maker, Thumbs]:
    """The thumbs that count, by the maker of the reply they were given to."""
    found: dict[Maker, Thumbs] = {}
    for rating in evidence.ratings:
        reply = evidence.replies[rating.reply_id]
        if rating.withdrawn or evidence.prompts[reply.prompt_id].excluded is not None or not _says(reply):
            continue
        before = found.get(maker(reply), Thumbs())
        up = rating.value > 0
        found[maker(reply)] = Thumbs(before.up + up, before.down + (not up))
    return found
