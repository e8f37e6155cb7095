"""Votes as something to search on: of two replies to one question, the one that people preferred is right.

A strategy is right about a pair when it makes the chosen reply more probable than the rejected one, each
beside its probability under the plain question. That is DPO's implicit reward (Rafailov et al., 2023) with a
prompt in the place of the weights; zero-shot itself is right about none and wrong about none.
"""

from collections.abc import Sequence

from feedback import evidence, good_answers, pairs, splits
from feedback.canonical import sha256_of
from feedback.errors import HoneError
from feedback.ids import UserId
from feedback.pairs import Pair
from feedback.store import Store
from prompts.evaluation.items import Dataset, Item
from prompts.evaluation.metrics import Choice
from prompts.search.optimise import FEWEST_SCORED, Material

NAME = "votes"
NOBODY = UserId("")
"""Whose words may be shown to everybody: those of questions that were drawn for the label queue alone."""


def material(store: Store) -> Material:
    """Pairs whose prompts may be trained on are searched on, those held out prove. First questions alone.

    HoneError for too few of either.
    """
    known = evidence.read(store)
    found = [one for one in pairs.derive(known).pairs if len(one.turns) == 1 and not one.system_text.strip()]
    keys = [splits.split_key(one.turns) for one in found]
    sides = splits.fix(store, keys)
    held = [one for one, key in zip(found, keys, strict=True) if sides[key]]
    training = [one for one, key in zip(found, keys, strict=True) if not sides[key]]
    good = good_answers.from_store(store, known, NOBODY)
    pool = [one for one in good if _shown(one.question)]
    shown = {one.question.strip() for one in pool}
    scored = [one for one in training if one.turns[0].content.strip() not in shown]
    if min(len(scored), len(held)) < FEWEST_SCORED:
        raise HoneError(
            "There are too few votes to search on.",
            f"First questions give {len(scored)} pairs to search on and {len(held)} to prove;"
            f" {FEWEST_SCORED} of each are needed.",
            "Collect more votes, or search on a dataset with --data.",
        )
    examples = tuple(Item(one.source, one.question, one.answer) for one in pool)
    return Material(examples, _dataset(scored), _dataset(held))


def _shown(question: str) -> bool:
    """Half of the prompts give examples, the others score: no example is its own question's answer."""
    return int(sha256_of(["shown", question.strip()])[:8], 16) % 2 == 0


def _dataset(found: Sequence[Pair]) -> Dataset:
    items = [
        Item(
            sha256_of([one.prompt_sha256, one.chosen, one.rejected])[:16],
            one.turns[0].content,
            one.chosen,
            tuple(sorted((one.chosen, one.rejected), key=sha256_of)),
        )
        for one in found
    ]
    items.sort(key=lambda item: item.id)
    return Dataset(NAME, tuple(items), Choice, whole=True)
