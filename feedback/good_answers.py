"""Good answers: what people wrote or preferred, fit to be shown to a model as an example.

`choose` is pure; it knows no table. No person's words are shown to another: see its rule.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from feedback import evidence as judgements
from feedback import splits
from feedback.evidence import Evidence, PromptEvidence
from feedback.ids import MessageId, UserId
from feedback.pairs import derive
from feedback.splits import prompt_sha256, split_key
from feedback.store import Store

WRITTEN = 1_000_000
"""The weight of a demonstration: a person wrote it, which no number of votes on a model's reply outweighs."""


@dataclass(frozen=True)
class GoodAnswer:
    """source: the id of the demonstration or reply. weight: how many judgements speak for it."""

    source: str
    question: str
    answer: str
    weight: int


def choose(evidence: Evidence, person: UserId, held_out: Mapping[str, bool]) -> tuple[GoodAnswer, ...]:
    """The answers that may stand as examples in a prompt of `person`, by this rule:

    1. Of questions that `person` asked, in conversations with consent that are not deleted, and of questions
       drawn for the label queue, which are nobody's conversation. Another person's are never shown.
    2. Never of a prompt that is held out. `held_out`: the side of each `splits.split_key`.
    3. Of first questions alone, without a program's system text: what stands before a question is no part of
       an example.
    4. Demonstrations, and whole replies that people preferred: chosen in a pair (feedback.pairs) and rejected
       in none, or with more thumbs up than down and rejected in none.
    5. One for each prompt: a demonstration, the latest, before a reply; of replies the one that most
       judgements speak for.

    The heaviest come first; among equals the order is that of questions.
    """
    mine = _fit(evidence, person, held_out)
    best: dict[str, GoodAnswer] = {}
    for sha, good in [*_replies(mine), *_demonstrations(mine)]:
        if sha not in best or good.weight >= best[sha].weight:
            best[sha] = good
    return tuple(sorted(best.values(), key=lambda good: (-good.weight, good.question, good.source)))


def from_store(store: Store, evidence: Evidence, person: UserId) -> tuple[GoodAnswer, ...]:
    """`choose` with the sides that the store has fixed, or would fix."""
    keys = {split_key(prompt.turns) for prompt in evidence.prompts.values() if _open(prompt, person)}
    return choose(evidence, person, splits.look(store, keys))


def read(store: Store) -> Evidence:
    """What `from_store` chooses from, for every person. Changes with `changes`."""
    return judgements.read(store)


def changes(store: Store) -> int:
    """A number that differs after anything has changed that `read` or a split depends on."""
    row = store.row("SELECT number FROM judgement_changes")
    assert row is not None
    return int(row["number"])


STILL_FIT_SQL = """
SELECT d.id FROM demonstrations d
JOIN messages m ON m.id = d.reply_id JOIN conversations c ON c.id = m.conversation_id
WHERE d.id IN (SELECT value FROM json_each(?1))
  AND d.withdrawn_at IS NULL AND c.consent = 1 AND c.deleted_at IS NULL
UNION ALL
SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE m.id IN (SELECT value FROM json_each(?1)) AND c.consent = 1 AND c.deleted_at IS NULL
"""


def still_fit(store: Store, sources: Sequence[str]) -> set[str]:
    """Those of `sources` that nobody has withdrawn, and whose conversation is neither deleted nor without
    consent. Quick: for answers that were chosen some time ago.
    """
    return {row["id"] for row in store.rows(STILL_FIT_SQL, json.dumps(list(sources)))}


def _open(prompt: PromptEvidence, person: UserId) -> bool:
    """Rules 1 and 2, and of rule 3 what needs no split."""
    return (
        prompt.excluded is None
        and prompt.whose in (None, person)
        and len(prompt.turns) == 1
        and not prompt.system_text.strip()
    )


def _fit(evidence: Evidence, person: UserId, held_out: Mapping[str, bool]) -> Evidence:
    """The part of the evidence that rules 1 to 3 leave."""
    prompts = {
        prompt_id: prompt
        for prompt_id, prompt in evidence.prompts.items()
        if _open(prompt, person) and not held_out[split_key(prompt.turns)]
    }
    replies = {reply_id: reply for reply_id, reply in evidence.replies.items() if reply.prompt_id in prompts}
    return replace(
        evidence,
        prompts=prompts,
        replies=replies,
        votes=[vote for vote in evidence.votes if vote.prompt_id in prompts],
        ratings=[rating for rating in evidence.ratings if rating.reply_id in replies],
        demonstrations=[shown for shown in evidence.demonstrations if shown.reply_id in replies],
    )


def _replies(evidence: Evidence) -> list[tuple[str, GoodAnswer]]:
    """(prompt hash, reply) of every reply that people preferred."""
    for_it: Counter[tuple[str, str]] = Counter()
    rejected: set[tuple[str, str]] = set()
    for pair in derive(evidence).pairs:
        for_it[pair.prompt_sha256, pair.chosen] += len(pair.sources)
        rejected.add((pair.prompt_sha256, pair.rejected))
    thumbs: Counter[MessageId] = Counter()
    for rating in evidence.ratings:
        if not rating.withdrawn:
            thumbs[rating.reply_id] += rating.value
    found = []
    for reply_id, reply in sorted(evidence.replies.items()):
        prompt = evidence.prompts[reply.prompt_id]
        about = (prompt_sha256(prompt.turns), reply.text.strip())
        weight = for_it[about] + max(0, thumbs[reply_id])
        if weight and about[1] and reply.usable and reply.ended and about not in rejected:
            found.append((about[0], GoodAnswer(reply_id, prompt.turns[0].content, about[1], weight)))
    return found


def _demonstrations(evidence: Evidence) -> list[tuple[str, GoodAnswer]]:
    """(prompt hash, demonstration), the latest last."""
    found = []
    for shown in sorted(evidence.demonstrations, key=lambda shown: (shown.at, shown.id)):
        prompt = evidence.prompts[evidence.replies[shown.reply_id].prompt_id]
        if not shown.withdrawn and shown.content.strip():
            good = GoodAnswer(shown.id, prompt.turns[0].content, shown.content.strip(), WRITTEN)
            found.append((prompt_sha256(prompt.turns), good))
    return found
