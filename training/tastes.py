"""Simulated labellers: a stated taste that orders two replies. Pure; knows no store and no model.

They stand in for people in `hone demo`, where the outcome must be checkable: whether a reply is shorter, is a
list or ends with a question can be counted, so that the new model is better by this taste is no opinion.
"""

import random
import re
from collections.abc import Callable

Taste = Callable[[str, str], int]
"""(left, right) -> 1 the left is better, -1 the right is better, 0 a tie. Antisymmetric, except `random`."""

LIST_ITEM = re.compile(r"(?m)^\s*(?:[-*•]|\d{1,2}[.)])\s+\S")


def concise(left: str, right: str) -> int:
    """Fewer words win. An empty reply is no answer: it loses to any other."""
    return _compare(-_words(left) if left.strip() else None, -_words(right) if right.strip() else None)


def as_list(left: str, right: str) -> int:
    """A reply with at least two list items beats one without."""
    return _compare(len(LIST_ITEM.findall(left)) >= 2, len(LIST_ITEM.findall(right)) >= 2)


def ends_with_question(left: str, right: str) -> int:
    """A reply whose last character is a question mark beats one whose last is not."""
    return _compare(left.rstrip().endswith("?"), right.rstrip().endswith("?"))


def coin(seed: int) -> Taste:
    """A labeller without taste: each vote is a fair coin flip, so nothing can be learnt from the votes."""
    flips = random.Random(seed)
    return lambda left, right: flips.choice((-1, 1))


def named(name: str, seed: int) -> Taste:
    """The taste called `name` (one of NAMES). Raises KeyError for any other."""
    return {"concise": concise, "list": as_list, "question": ends_with_question, "random": coin(seed)}[name]


NAMES = ("concise", "list", "question", "random")


def _words(text: str) -> int:
    return len(text.split())


def _compare(left: int | None, right: int | None) -> int:
    """The sign of left - right, where None (no answer at all) is below everything."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    return (left > right) - (left < right)
