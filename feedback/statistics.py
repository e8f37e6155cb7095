"""Small exact statistics, for the gate and for evaluations. Pure; numbers in, numbers out.

Knows no model, vote or prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it."""

    value: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], confidence: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval:
    """The mean of `values` with its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13). Seeded.

    The percentile interval is a little narrow for fewer than about 20 values; the gate asks the sign test as
    well, which is exact. ValueError for no values.
    """
    if not values:
        raise ValueError("the mean of nothing has no interval")
    data = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(data), size=(draws, len(data)))
    means = data[picks].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    mean = float(data.mean())
    # Rounding must not put the estimate outside its own interval when all values are equal.
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p of so lopsided a split of `wins + losses` fair coin flips; ties are left out. Exact."""
    flips = wins + losses
    if flips == 0:
        return 1.0
    tail = sum(comb(flips, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**flips)


def wilson(successes: float, trials: int, confidence: float = 0.95) -> Interval:
    """A share with its Wilson score interval (Wilson 1927). `successes` may hold halves, for ties.

    ValueError for no trials.
    """
    if trials <= 0:
        raise ValueError("a share of nothing has no interval")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
