"""From logits to the next token: temperature, nucleus, seed. Pure mathematics on numpy arrays; no model."""

import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback.conversations import Sampling

Floats = NDArray[np.floating[Any]]

HEAD = 1e-4
"""Tokens at least this probable, beside the best one, are looked at first. A nucleus is nearly always inside
them, and sorting a whole vocabulary costs more.
"""


class Sampler:
    """Draws the tokens of one reply. Its randomness is its own: nothing else can change its draws."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        seed = sampling.seed if sampling.seed is not None else secrets.randbits(63)
        self._dice = np.random.Generator(np.random.PCG64(seed % 2**63))

    @property
    def greedy(self) -> bool:
        """Whether it takes the most probable token each time, so that no chance is involved."""
        return self._temperature <= 0

    def choose(self, logits: Floats) -> int:
        """The next token's id. `logits`: shape (vocabulary,), float32. Temperature 0 takes the best."""
        if self.greedy:
            return int(logits.argmax())
        ids, probabilities = nucleus(softmax(logits / self._temperature), self._top_p)
        reach = probabilities.cumsum(dtype=np.float64)
        point = self._dice.random() * reach[-1]
        # A point that rounds up to the very end still belongs to the last token.
        return int(ids[min(int(reach.searchsorted(point, side="right")), len(ids) - 1)])


def softmax(scores: Floats) -> Floats:
    """Probabilities of `scores`, shape (vocabulary,)."""
    powers = scores - scores.max()
    np.exp(powers, out=powers)  # in place: fresh pages for a vocabulary cost as much as the arithmetic
    powers /= powers.sum()
    return powers


def log_softmax(scores: Floats) -> Floats:
    """Log-probabilities in nats of `scores`, over the last axis, in float64 sums."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True, dtype=np.float64))


def nucleus(probabilities: Floats, top_p: float) -> tuple[NDArray[np.intp], Floats]:
    """The fewest most probable tokens whose sum reaches `top_p`, at least one: (ids, probabilities), best
    first.

    `probabilities`: shape (vocabulary,), summing to 1. After Holtzman et al. 2020,
    https://arxiv.org/abs/1904.09751
    """
    if top_p >= 1:
        return np.arange(len(probabilities)), probabilities
    head = np.flatnonzero(probabilities >= HEAD * probabilities.max())
    if float(probabilities[head].sum()) < top_p:
        head = np.arange(len(probabilities))
    ids = head[np.lexsort((head, -probabilities[head]))]
    ranked = probabilities[ids]
    before = ranked.cumsum() - ranked
    kept = max(1, int((before < top_p).sum()))
    return ids[:kept], ranked[:kept]
