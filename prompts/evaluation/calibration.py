"""Contextual calibration: a model's leaning to some answers, measured and taken out. Pure numbers.

Zhao et al. 2021, "Calibrate Before Use" (https://arxiv.org/abs/2102.09690): what the model answers to inputs
without content ("N/A", "[MASK]", "") is its leaning, p_cf; with W = diag(p_cf)^-1 and b = 0, equation 1 gives
q = softmax(W p + b), whose largest entry is that of W p.

What a model answers to nothing says little of how it leans between real questions, where the examples in the
prompt pull it (measured on SST-2 with 8 shots: 0.67 for positive of nothing, 0.79 of reviews). Zhou et al.
2024, "Batch Calibration" (https://arxiv.org/abs/2309.17249), take the mean over a batch for p_cf;
here they are the training part's, so that no item's score hangs on which others are asked.
"""

from collections.abc import Sequence
from math import exp, fsum

FLOOR = 1e-12
"""A leaning smaller than this is none that a model could have: it would only divide by nearly nothing."""


def shares(nats: Sequence[float]) -> list[float]:
    """Log-probabilities of the options as shares of their sum. ValueError for none."""
    highest = max(nats)
    weights = [exp(one - highest) for one in nats]
    total = fsum(weights)
    return [weight / total for weight in weights]


def leaning(content_free: Sequence[Sequence[float]]) -> list[float]:
    """p_cf: the mean over content-free inputs of the options' shares; given log-probabilities, in nats."""
    all_shares = [shares(nats) for nats in content_free]
    return [fsum(column) / len(all_shares) for column in zip(*all_shares, strict=True)]


def calibrated(option_shares: Sequence[float], lean: Sequence[float]) -> list[float]:
    """W p, made to sum to 1."""
    weighed = [share / max(one, FLOOR) for share, one in zip(option_shares, lean, strict=True)]
    total = fsum(weighed)
    return [weight / total for weight in weighed]
