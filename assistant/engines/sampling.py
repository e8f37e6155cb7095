"""From logits to the next token: temperature, nucleus, seed. Pure mathematics on CPU tensors; no model."""

import secrets

import torch

from feedback.conversations import Sampling

HEAD = 256
"""Candidates looked at first. A nucleus is nearly always inside them, and sorting a whole vocabulary costs
more.
"""


class Sampler:
    """Draws the tokens of one reply. Its randomness is its own: nothing else can change its draws."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        seed = sampling.seed if sampling.seed is not None else secrets.randbits(63)
        self._generator = torch.Generator().manual_seed(seed % 2**63)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token's id. `logits`: shape (vocabulary,), float32, on the CPU. Temperature 0 takes the
        best.
        """
        if self._temperature <= 0:
            return int(logits.argmax())
        probabilities, ids = nucleus((logits / self._temperature).softmax(-1), self._top_p)
        reach = probabilities.double().cumsum(0)
        point = torch.rand((), generator=self._generator, dtype=torch.float64) * reach[-1]
        # A point that rounds up to the very end still belongs to the last token.
        return int(ids[min(int(torch.searchsorted(reach, point, right=True)), len(ids) - 1)])


def nucleus(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The fewest most probable tokens whose sum reaches `top_p`: (probabilities, ids), best first, one at
    least.

    `probabilities`: shape (vocabulary,), summing to 1. After Holtzman et al. 2020,
    https://arxiv.org/abs/1904.09751
    """
    if top_p < 1:
        head, ids = probabilities.topk(min(HEAD, len(probabilities)))
        if float(head.sum()) < top_p:
            head, ids = probabilities.sort(descending=True)
    else:
        return probabilities, torch.arange(len(probabilities))
    before = head.cumsum(0) - head
    kept = max(1, int((before < top_p).sum()))
    return head[:kept], ids[:kept]
