"""Rewards by rule: a number for a reply that anyone can check, in place of a reward model. Pure."""

from collections.abc import Callable

from feedback.errors import HoneError
from training import tastes

Rule = Callable[[str], float]
PREFIX = "rule:"


def concise(text: str) -> float:
    """Fewer words are better, an empty reply is worst: 1 for one word, 0 for 64 or more or for none."""
    words = len(text.split())
    return max(0.0, 1 - (words - 1) / 63) if words else 0.0


def as_list(text: str) -> float:
    """1 for a reply with at least two list items, else 0."""
    return float(len(tastes.LIST_ITEM.findall(text)) >= 2)


def question(text: str) -> float:
    """1 for a reply that ends with a question mark, else 0."""
    return float(text.rstrip().endswith("?"))


RULES: dict[str, Rule] = {"concise": concise, "list": as_list, "question": question}


def named(reward: str) -> Rule | None:
    """The rule that `rule:NAME` means; None where a reward model is meant. HoneError for an unknown one."""
    if not reward.startswith(PREFIX):
        return None
    name = reward.removeprefix(PREFIX)
    if name not in RULES:
        raise HoneError(
            f"There is no rule {name!r}.", f"Rules are {', '.join(RULES)}.", "Write reward: rule:NAME."
        )
    return RULES[name]
