"""How many rows each source gives: examples-proportional mixing with a cap. Pure; exact, in fractions.

r_m = w_m min(e_m, K) / sum over n of w_n min(e_n, K), where a source m has e_m rows and K is the cap (Raffel
et al., 2020, section 3.5.2, which FLAN takes over with K = 3,000; Wei et al., 2022, section 2.4). The weights
w are ours; 1 gives the papers' mix.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import floor

CAP = 3000
"""FLAN's: no source weighs more for rows beyond so many."""


def rates(rows: Sequence[int], weights: Sequence[Fraction], cap: int) -> list[Fraction]:
    """Each source's share of the mix; they sum to 1. Rows, weights and the cap are above 0."""
    weighed = [weight * min(held, cap) for held, weight in zip(rows, weights, strict=True)]
    return [one / sum(weighed) for one in weighed]


def most(rows: Sequence[int], shares: Sequence[Fraction]) -> int:
    """The most rows of a mix in these shares in which none stands twice."""
    return min(floor(held / share) for held, share in zip(rows, shares, strict=True))


def counts(total: int, shares: Sequence[Fraction]) -> list[int]:
    """`total` divided in these shares, each within 1 of its exact part: the largest remainders round up."""
    exact = [total * share for share in shares]
    found = [floor(part) for part in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: found[place] - exact[place])
    for place in by_remainder[: total - sum(found)]:
        found[place] += 1
    return found
