"""Bradley-Terry: how often each of several makers would win against each other, from who beat whom. Pure.

Fitted by choix (iterative Luce spectral ranking, Maystre and Grossglauser 2015). Two makers that ever met are
given half a win more in each direction (Haldane 1956): five wins in five do not prove that nobody ever loses,
and the fit has an end. Intervals are taken in log odds. Votes on one prompt go together, since they are about
the same replies: their error is taken prompt by prompt (Liang and Zeger 1986; for few prompts, Cameron and
Miller 2015, section VI). It is never below that of as many independent votes (Fisher's information), nor
above that of votes which on each prompt all say the same (Kish 1965): with one vote a prompt, all are one.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, exp, sqrt
from statistics import NormalDist, median
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from feedback.statistics import Interval

K = TypeVar("K")

HALF_A_WIN = 0.5
MOST_STEPS, CLOSE_ENOUGH = 10_000, 1e-10
LOUDEST = 2.0
"""A judge counts for at most this many times the votes of the middle one."""
FEWEST_DEGREES = 0.05
"""Of freedom, for Student's t: where all votes are about one prompt, spread between prompts tells nothing."""


@dataclass(frozen=True)
class Vote(Generic[K]):
    """What was said of two makers' replies to one prompt. `score` is `one`'s: 1 won, 0 lost, 0.5 neither."""

    one: K
    other: K
    score: float
    prompt: str
    weight: float = 1.0


@dataclass(frozen=True)
class _Given:
    """The votes behind a fit, each array of shape (votes,). `one`, `other`: places among the keys; `prompt`:
    numbers of prompts; `surprise`: weight times (score less the score expected); `spread`: weight times the
    deviation of a win from what is expected.
    """

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    prompt: NDArray[np.intp]
    surprise: NDArray[np.float64]
    spread: NDArray[np.float64]


@dataclass(frozen=True)
class Strengths(Generic[K]):
    """Log odds of those that votes connect; only differences mean anything. `covariance`: theirs, were all
    votes independent; shape (keys, keys).
    """

    keys: tuple[K, ...]
    log_odds: tuple[float, ...]
    covariance: NDArray[np.float64]
    given: _Given

    def win_rate(self, one: K, other: K, confidence: float = 0.95) -> Interval | None:
        """How often `one` would win against `other`. None: no votes lead from one to the other."""
        if one not in self.keys or other not in self.keys or one == other:
            return None
        a, b = self.keys.index(one), self.keys.index(other)
        apart = self.log_odds[a] - self.log_odds[b]
        reach = self._reach(a, b, 0.5 + confidence / 2)
        return Interval(_share(apart), _share(apart - reach), _share(apart + reach))

    def _reach(self, a: int, b: int, quantile: float) -> float:
        """How far the interval of the difference goes to either side, in log odds."""
        from scipy.special import stdtrit  # choix has brought it already

        along, given = self.covariance[a] - self.covariance[b], self.given
        alone = NormalDist().inv_cdf(quantile) * sqrt(along[a] - along[b])
        moves = along[given.one] - along[given.other]  # the difference, by one vote's surprise
        by_prompt = np.bincount(given.prompt, given.surprise * moves)
        spread = np.abs(given.spread * moves)
        alike_by_prompt = np.bincount(given.prompt, spread)
        alike = sqrt((alike_by_prompt**2).sum() / (spread**2).sum())
        prompts = alike_by_prompt.sum() ** 2 / (alike_by_prompt**2).sum()  # Kish's: were all worth the same
        degrees = max(FEWEST_DEGREES, prompts - 1)
        together = stdtrit(degrees, quantile) * sqrt((by_prompt**2).sum() * (degrees + 1) / degrees)
        return float(min(max(alone, together), alone * alike))


def fit(votes: Sequence[Vote[K]], among: K) -> Strengths[K]:
    """The strengths of `among` and of all that votes connect with it; a tie is half a win for each."""
    keys = _connected(votes, among)
    place = {key: index for index, key in enumerate(keys)}
    votes = [vote for vote in votes if vote.one in place]
    prompts = {prompt: index for index, prompt in enumerate(dict.fromkeys(vote.prompt for vote in votes))}
    one, other, prompt = (
        np.array(column, np.intp)
        for column in (
            [place[vote.one] for vote in votes],
            [place[vote.other] for vote in votes],
            [prompts[vote.prompt] for vote in votes],
        )
    )
    score = np.array([vote.score for vote in votes])
    weight = np.array([vote.weight for vote in votes])
    beaten = np.zeros((len(keys), len(keys)))
    np.add.at(beaten, (one, other), weight * score)
    np.add.at(beaten, (other, one), weight * (1 - score))
    beaten += HALF_A_WIN * ((beaten + beaten.T) > 0)
    log_odds = _log_odds(beaten)
    expected = 1 / (1 + np.exp(log_odds[None, :] - log_odds[:, None]))
    wins = expected[one, other]
    given = _Given(one, other, prompt, weight * (score - wins), weight * np.sqrt(wins * (1 - wins)))
    return Strengths(keys, tuple(map(float, log_odds)), _covariance(beaten, expected), given)


def _connected(votes: Sequence[Vote[K]], among: K) -> tuple[K, ...]:
    """`among`, and whoever met it, or met one who did, and so on; in the order in which they are found."""
    met: dict[K, dict[K, None]] = {}
    for vote in votes:
        met.setdefault(vote.one, {})[vote.other] = None
        met.setdefault(vote.other, {})[vote.one] = None
    found = [among]
    for key in found:
        found += [other for other in met.get(key, ()) if other not in found]
    return tuple(found)


def _log_odds(beaten: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum likelihood. `beaten`: how often the row's maker won over the column's; shape (keys, keys)."""
    from choix import ilsr_pairwise_dense  # takes a third of a second to come: not when a command starts

    if len(beaten) < 2:
        return np.zeros(len(beaten))
    with warnings.catch_warnings():
        # A chain of states has a singular matrix: choix knows, and says so all the same.
        warnings.filterwarnings("ignore", message="Diagonal number")
        return np.asarray(ilsr_pairwise_dense(beaten, max_iter=MOST_STEPS, tol=CLOSE_ENOUGH))


def _covariance(beaten: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of Fisher's information. Only differences are known: the first is held at 0."""
    information = -(beaten + beaten.T) * expected * (1 - expected)
    information -= np.diag(information.sum(axis=1))
    covariance = np.zeros_like(information)
    covariance[1:, 1:] = np.linalg.inv(information[1:, 1:])
    return covariance


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


def _share(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds)) if log_odds >= 0 else exp(log_odds) / (1 + exp(log_odds))
