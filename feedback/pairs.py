"""Pairs: (prompt, chosen, rejected), derived from judgements by one rule.

`derive` is pure; it knows no table.

Change a judgement and the pairs follow. The judgements come from `feedback.evidence`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, NamedTuple

from feedback import evidence as judgements
from feedback.evidence import Evidence, PromptEvidence, RatingEvidence, ReplyEvidence
from feedback.ids import MessageId, ProjectId, UserId
from feedback.message import Turn
from feedback.splits import prompt_sha256
from feedback.store import Store

Kind = Literal["vote", "rating", "demonstration"]

NO_PREFERENCE = "no preference"
IDENTICAL = "identical texts"
EMPTY = "empty reply"
REPLACED = "replaced by a later judgement"
CONTRADICTION = "contradiction"
OUTVOTED = "outvoted"
DUPLICATES = "duplicates"
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, order=True)
class Source:
    """A judgement that a pair rests on."""

    kind: Kind
    id: str


@dataclass(frozen=True)
class Pair:
    """One preference. turns end with the user's message; texts have no space at their ends. `system_text`:
    what a program had put before them.

    `chosen_ended`, `rejected_ended`: that text was a whole reply at least once; a reply that was cut off says
    nothing about where to end.
    """

    turns: tuple[Turn, ...]
    prompt_sha256: str
    chosen: str
    rejected: str
    sources: tuple[Source, ...]
    chosen_is_demonstration: bool
    chosen_ended: bool = True
    rejected_ended: bool = True
    system_text: str = ""


@dataclass(frozen=True)
class Derived:
    """Pairs in a fixed order, and how many judgements gave no pair of their own, by reason.

    `withdrawn`, `no consent` and `deleted conversation` count whole judgements; the other reasons count
    judgements of two texts (a ranking of three replies is three), each under one reason.
    """

    pairs: tuple[Pair, ...]
    dropped: dict[str, int]


class _Opinion(NamedTuple):
    """One person's judgement of two texts. preference: 1 for the first, -1 for the second, 0 for none."""

    at: str
    sources: tuple[Source, ...]
    user_id: UserId
    prompt_id: MessageId
    first: str
    second: str
    preference: int


def derive(evidence: Evidence) -> Derived:
    """The pairs that follow from the evidence, by this rule:

    1. A withdrawn judgement never counts; nor does one in a conversation without consent, or deleted.
    2. A vote gives every strict order that its ranking implies; ties give none, "all bad" gives none.
    3. Of the replies to one message, each that a person thumbed up is chosen over each that the same person
       thumbed down.
    4. A demonstration is chosen over the reply that it corrects.
    5. Texts are compared without space at their ends; identical texts, or an empty or failed reply, give no
       pair.
    6. A person's latest judgement of the same two texts to the same prompt, a tie included, replaces the
       earlier.
    7. Between people the majority decides; an even split drops the pair as a contradiction.
    8. Judgements that agree give one pair that names them all; each beyond the first counts as a duplicate.

    The order of the evidence does not matter. Pairs come in the order of prompt hash, chosen, rejected.
    """
    dropped: Counter[str] = Counter()
    shas = {
        prompt_id: prompt_sha256(prompt.turns, prompt.system_text)
        for prompt_id, prompt in evidence.prompts.items()
    }
    latest: dict[tuple[str, str, str, UserId], _Opinion] = {}
    for opinion in sorted(_comparable(_opinions(evidence, dropped), dropped)):
        about = (shas[opinion.prompt_id], opinion.first, opinion.second, opinion.user_id)
        latest[about] = _later(latest[about], opinion, dropped) if about in latest else opinion
    by_texts: dict[tuple[str, str, str], list[_Opinion]] = {}
    for (sha, first, second, _), opinion in latest.items():
        by_texts.setdefault((sha, first, second), []).append(opinion)
    whole = _whole_texts(evidence, shas)
    pairs = [
        replace(
            pair,
            chosen_ended=(sha, pair.chosen) in whole,
            rejected_ended=(sha, pair.rejected) in whole,
        )
        for (sha, _, _), opinions in by_texts.items()
        if (pair := _decide(sha, opinions, evidence.prompts, dropped)) is not None
    ]
    return Derived(
        tuple(sorted(pairs, key=lambda pair: (pair.prompt_sha256, pair.chosen, pair.rejected))),
        {reason: dropped[reason] for reason in sorted(dropped) if dropped[reason]},
    )


def _whole_texts(evidence: Evidence, shas: Mapping[MessageId, str]) -> set[tuple[str, str]]:
    """(prompt hash, text) of every reply that ended by itself, and of every demonstration."""
    replies = evidence.replies
    whole = {(shas[reply.prompt_id], reply.text.strip()) for reply in replies.values() if reply.ended}
    return whole | {
        (shas[replies[shown.reply_id].prompt_id], shown.content.strip()) for shown in evidence.demonstrations
    }


def _opinions(evidence: Evidence, dropped: Counter[str]) -> Iterator[_Opinion]:
    """Every judgement of two texts, in any order, texts as they came (rules 1 to 4)."""
    yield from _from_votes(evidence, dropped)
    yield from _from_ratings(evidence, dropped)
    for demonstration in evidence.demonstrations:
        reply = evidence.replies[demonstration.reply_id]
        if _excluded(evidence.prompts[reply.prompt_id], demonstration.withdrawn, dropped):
            continue
        source = Source("demonstration", demonstration.id)
        yield _Opinion(
            demonstration.at,
            (source,),
            demonstration.user_id,
            reply.prompt_id,
            demonstration.content,
            _text(reply),
            1,
        )


def _excluded(prompt: PromptEvidence, withdrawn: bool, dropped: Counter[str]) -> bool:
    reason = WITHDRAWN if withdrawn else prompt.excluded
    if reason is not None:
        dropped[reason] += 1
    return reason is not None


def _text(reply: ReplyEvidence) -> str:
    """A failed reply's text is no answer: it counts as empty."""
    return reply.text if reply.usable else ""


def _from_votes(evidence: Evidence, dropped: Counter[str]) -> Iterator[_Opinion]:
    for vote in evidence.votes:
        if _excluded(evidence.prompts[vote.prompt_id], vote.withdrawn, dropped):
            continue
        # An all-bad vote is a judgement too: as a tie of everything it replaces what the person said before.
        ranked = sorted(zip(vote.replies, vote.ranks or (1,) * len(vote.replies), strict=True))
        for (one, one_rank), (other, other_rank) in combinations(ranked, 2):
            preference = (one_rank < other_rank) - (one_rank > other_rank)
            texts = _text(evidence.replies[one]), _text(evidence.replies[other])
            yield _Opinion(
                vote.at, (Source("vote", vote.id),), vote.user_id, vote.prompt_id, *texts, preference
            )


def _from_ratings(evidence: Evidence, dropped: Counter[str]) -> Iterator[_Opinion]:
    by_person: dict[tuple[MessageId, UserId], list[RatingEvidence]] = {}
    for rating in evidence.ratings:
        reply = evidence.replies[rating.reply_id]
        if not _excluded(evidence.prompts[reply.prompt_id], rating.withdrawn, dropped):
            by_person.setdefault((reply.prompt_id, rating.user_id), []).append(rating)
    for (prompt_id, user_id), ratings in by_person.items():
        for up in (rating for rating in ratings if rating.value > 0):
            for down in (rating for rating in ratings if rating.value < 0):
                yield _Opinion(
                    max(up.at, down.at),
                    (Source("rating", up.id), Source("rating", down.id)),
                    user_id,
                    prompt_id,
                    _text(evidence.replies[up.reply_id]),
                    _text(evidence.replies[down.reply_id]),
                    1,
                )


def _comparable(opinions: Iterable[_Opinion], dropped: Counter[str]) -> Iterator[_Opinion]:
    """Texts stripped and in alphabetical order, without comparisons with nothing or itself (rule 5)."""
    for opinion in opinions:
        first, second = opinion.first.strip(), opinion.second.strip()
        if not first or not second:
            dropped[EMPTY] += 1
        elif first == second:
            dropped[IDENTICAL] += 1
        elif first < second:
            yield opinion._replace(first=first, second=second)
        else:
            yield opinion._replace(first=second, second=first, preference=-opinion.preference)


def _later(earlier: _Opinion, later: _Opinion, dropped: Counter[str]) -> _Opinion:
    """What a person holds after judging the same two texts again (rules 6 and 8)."""
    if earlier.preference == later.preference:
        dropped[DUPLICATES] += 1
        return later._replace(sources=tuple(sorted({*earlier.sources, *later.sources})))
    if set(later.sources) <= set(earlier.sources):
        # One ranking put the same text on two places: it prefers neither way.
        dropped[CONTRADICTION] += 1
        return later._replace(preference=0)
    dropped[REPLACED] += 1
    return later


def _decide(
    sha: str, opinions: list[_Opinion], prompts: Mapping[MessageId, PromptEvidence], dropped: Counter[str]
) -> Pair | None:
    """One pair, or none, from the people who judged the same two texts, one opinion each (rules 7 and 8)."""
    balance = sum(opinion.preference for opinion in opinions)
    dropped[NO_PREFERENCE] += sum(opinion.preference == 0 for opinion in opinions)
    if balance == 0:
        dropped[CONTRADICTION] += sum(opinion.preference != 0 for opinion in opinions)
        return None
    winning = 1 if balance > 0 else -1
    agreeing = [opinion for opinion in opinions if opinion.preference == winning]
    dropped[OUTVOTED] += sum(opinion.preference == -winning for opinion in opinions)
    dropped[DUPLICATES] += len(agreeing) - 1
    first, second = opinions[0].first, opinions[0].second
    chosen, rejected = (first, second) if winning > 0 else (second, first)
    sources = sorted({source for opinion in agreeing for source in opinion.sources})
    # Prompts that differ in outer space alone share a hash; any will do, if it is always the same one.
    prompt = min(
        (prompts[opinion.prompt_id] for opinion in agreeing),
        key=lambda prompt: [prompt.system_text, *(turn.content for turn in prompt.turns)],
    )
    return Pair(
        prompt.turns,
        sha,
        chosen,
        rejected,
        tuple(sources),
        any(source.kind == "demonstration" for source in sources),
        system_text=prompt.system_text,
    )


def from_store(store: Store, project_id: ProjectId | None = None) -> Derived:
    """The pairs that follow from everything in the store, or from one label project's votes."""
    return derive(judgements.read(store, project_id))
