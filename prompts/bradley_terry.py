"""Bradley-Terry: how often each of several makers would win against each other, from who beat whom. Pure.

Fitted by choix (iterative Luce spectral ranking, Maystre and Grossglauser 2015). Two makers that ever met are
given half a win more in each direction (Haldane 1956): five wins in five do not prove that nobody ever loses,
and the fit has an end. Intervals are the normal ones in log odds, from the inverse of Fisher's information.
They take each vote as independent of the others; votes on one prompt are a little less than that.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, sqrt
from statistics import NormalDist, median
from typing import Generic, TypeVar

from feedback.statistics import Interval

K = TypeVar("K")

HALF_A_WIN = 0.5
MOST_STEPS, CLOSE_ENOUGH = 10_000, 1e-10
LOUDEST = 2.0
"""A judge counts for at most this many times the votes of the middle one."""


@dataclass(frozen=True)
class Strengths(Generic[K]):
    """Log odds of those that votes connect, and their covariance; only differences mean anything."""

    keys: tuple[K, ...]
    log_odds: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def win_rate(self, one: K, other: K, confidence: float = 0.95) -> Interval | None:
        """How often `one` would win against `other`. None: no votes lead from one to the other."""
        if one not in self.keys or other not in self.keys or one == other:
            return None
        a, b = self.keys.index(one), self.keys.index(other)
        apart = self.log_odds[a] - self.log_odds[b]
        variance = self.covariance[a][a] + self.covariance[b][b] - 2 * self.covariance[a][b]
        reach = NormalDist().inv_cdf(0.5 + confidence / 2) * sqrt(max(0.0, variance))
        return Interval(_share(apart), _share(apart - reach), _share(apart + reach))


def fit(wins: Mapping[tuple[K, K], float], among: K) -> Strengths[K]:
    """The strengths of `among` and of all that votes connect with it. `wins`: (winner, loser) -> votes, which
    may be weighted; a tie is half a vote in each direction.
    """
    import numpy as np
    from choix import ilsr_pairwise_dense  # takes a third of a second to come: not when a command starts

    keys = _connected(wins, among)
    if len(keys) < 2:
        return Strengths(keys, (0.0,) * len(keys), ((0.0,),) * len(keys))
    place = {key: index for index, key in enumerate(keys)}
    beaten = np.zeros((len(keys), len(keys)))
    for (winner, loser), votes in wins.items():
        if winner in place and loser in place and winner != loser:
            beaten[place[winner], place[loser]] += votes
    met = (beaten + beaten.T) > 0
    beaten += HALF_A_WIN * met
    with warnings.catch_warnings():
        # A chain of states has a singular matrix: choix knows, and says so all the same.
        warnings.filterwarnings("ignore", message="Diagonal number")
        log_odds = ilsr_pairwise_dense(beaten, max_iter=MOST_STEPS, tol=CLOSE_ENOUGH)
    expected = 1 / (1 + np.exp(log_odds[None, :] - log_odds[:, None]))
    information = -(beaten + beaten.T) * expected * (1 - expected)
    information -= np.diag(information.sum(axis=1))
    # Only differences are known: the first is held at 0, and the others are told from there.
    covariance = np.zeros_like(information)
    covariance[1:, 1:] = np.linalg.inv(information[1:, 1:])
    return Strengths(keys, tuple(map(float, log_odds)), tuple(tuple(map(float, row)) for row in covariance))


def _connected(wins: Mapping[tuple[K, K], float], among: K) -> tuple[K, ...]:
    """`among`, and whoever met it, or met one who did, and so on; in the order in which they are found."""
    found = [among]
    for key in found:
        for pair, votes in wins.items():
            if votes > 0 and key in pair:
                found += [other for other in pair if other not in found]
    return tuple(found)


def weights(judges: Iterable[str]) -> dict[str, float]:
    """The weight of each judge's votes, from one entry a vote: one loud person must not outvote the rest.

    Who gave more than LOUDEST times as many votes as the middle judge counts as if they had given just that.
    """
    counts: dict[str, int] = {}
    for judge in judges:
        counts[judge] = counts.get(judge, 0) + 1
    most = LOUDEST * median(counts.values()) if counts else 0.0
    return {judge: min(1.0, most / count) for judge, count in counts.items()}


def votes_needed(win_rate: float, power: float = 0.8, confidence: float = 0.95) -> int:
    """Votes after which a maker that truly wins `win_rate` of them is told from an equal one, with that
    chance, by a two-sided test. ValueError for a half, which no number of votes would tell.
    """
    if not 0 < win_rate < 1 or win_rate == 0.5:
        raise ValueError("the difference to look for must be above 0 and below 1/2")
    normal = NormalDist()
    sure, able = normal.inv_cdf(0.5 + confidence / 2), normal.inv_cdf(power)
    spread = sure * 0.5 + able * sqrt(win_rate * (1 - win_rate))
    return ceil((spread / (win_rate - 0.5)) ** 2)


def tally(results: Sequence[tuple[K, K, float, float]]) -> dict[tuple[K, K], float]:
    """(one, other, score of one, weight) of each vote, as `fit` takes them."""
    wins: dict[tuple[K, K], float] = {}
    for one, other, score, weight in results:
        for pair, won in (((one, other), score), ((other, one), 1 - score)):
            wins[pair] = wins.get(pair, 0.0) + won * weight
    return wins


def _share(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds)) if log_odds >= 0 else exp(log_odds) / (1 + exp(log_odds))
