"""How sure a score is, and whether one column is better than another. Pure; numbers in, numbers out.

Two columns are compared on the items that both have a score for, in the same unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback.statistics import Interval, bootstrap_mean, sign_test, wilson
from prompts.evaluation.units import SHARE, Unit


@dataclass(frozen=True)
class Paired:
    """Column b against column a on the same items.

    `difference`: mean of b - a with its bootstrap interval (95 %). `better`, `worse`: items on which b scored
    above and below a. `p`: two-sided, exact McNemar (the sign test on the items that differ).
    """

    items: int
    difference: Interval
    better: int
    worse: int
    p: float


def mean(scores: Sequence[float], unit: Unit) -> Interval:
    """The mean of `scores` with its interval: Wilson's of a share of which all are 0 or 1, else a bootstrap.

    ValueError for no scores.
    """
    if unit == SHARE and all(score in (0.0, 1.0) for score in scores):
        return wilson(sum(scores), len(scores))
    return bootstrap_mean(scores)


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compare scores of the same items, in the same order. ValueError for none, or unequal numbers."""
    if len(a) != len(b):
        raise ValueError("paired scores are of the same items")
    differences = [after - before for before, after in zip(a, b, strict=True)]
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return Paired(len(a), bootstrap_mean(differences), better, worse, sign_test(better, worse))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being asked together (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = highest
    return adjusted
