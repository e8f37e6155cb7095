"""The head alone: multinomial logistic regression on states that were computed once. Knows tensors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""What L2 is chosen from."""
ITERATIONS = 200
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class Head:
    """logits = W h + b. `weight`: (K, width), `bias`: (K,), float32. `penalty`: the L2 it was fitted with."""

    weight: Tensor
    bias: Tensor
    penalty: float

    def logits(self, states: Tensor) -> Tensor:
        """states: (N, width); returns (N, K)."""
        return states @ self.weight.T + self.bias


@dataclass(frozen=True)
class Labelled:
    """States (N, width) and the numbers of their labels (N,)."""

    states: Tensor
    labels: Tensor


def fit(train: Labelled, labels: int, penalty: float) -> Head:
    """The least of mean cross-entropy + penalty |W|^2, the states standardised by the training part.

    The standardisation goes into W and b, so that the head takes states as they come.
    """
    import torch
    from torch.nn import functional

    states = train.states.double()
    middle, spread = states.mean(0), states.std(0, correction=0).clamp_min(SMALLEST_SPREAD)
    standard = (states - middle) / spread
    weight = torch.zeros(labels, states.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(labels, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        found = functional.cross_entropy(standard @ weight.T + bias, train.labels)
        found = found + penalty * weight.square().sum()
        found.backward()
        return found

    solver.step(loss)
    folded = weight.detach() / spread
    return Head(folded.float(), (bias.detach() - folded @ middle).float(), penalty)


def loss_of(head: Head, data: Labelled) -> float:
    """Mean cross-entropy, in nats."""
    from torch.nn import functional

    return float(functional.cross_entropy(head.logits(data.states), data.labels))


def best(train: Labelled, held_out: Labelled, labels: int, penalties: Sequence[float] = PENALTIES) -> Head:
    """The fit whose penalty does best on what it did not see."""
    return min((fit(train, labels, one) for one in penalties), key=lambda head: loss_of(head, held_out))
