"""RMS norms (Zhang and Sennrich, 2019) in half the passes, keeping half of the memory.

transformers computes the norm step by step in float32, and autograd keeps the states in float32 for it and
walks back through each step. One function keeps the states as they came, which in 16 bits is half, and finds
the gradient from them at once. The output is the same to the last bit in 16 bits.
Knows torch; no trainer.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor

TRIED = torch.linspace(-3, 3, 7)
"""States that tell a norm of this kind from one that adds 1 to its weight, or subtracts a mean."""


class _Normed(torch.autograd.Function):
    """y = w x / sqrt(mean(x^2) + eps), with w frozen, rounded once before it is multiplied by w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x: (..., size), weight: (size,), of one type."""
        states = x.to(torch.float32, copy=True)
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        factor = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, factor)
        return states.mul_(factor).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        x, weight, factor = ctx.saved_tensors
        size = x.shape[-1]
        normed = x.to(torch.float32, copy=True).mul_(factor).view(-1, size)
        slope = (upstream[0] * weight).float().view(-1, size)
        along = torch.bmm(slope[:, None], normed[:, :, None])[:, 0].div_(size)
        by_x = slope.addcmul_(normed, along, value=-1).mul_(factor.view(-1, 1))
        return by_x.to(x.dtype).view(x.shape), None, None


def install(model: Any) -> int:
    """Let a model's RMS norms compute this way; returns how many do. Twice is once.

    A norm is known by what it computes. One whose weight is trained, or that is given numbers of another type
    than its weight's, goes its own way.
    """
    norms = [part for part in model.modules() if _alike(part)]
    for norm in norms:
        norm.forward = types.MethodType(_forward, norm)
    return len(norms)


def _forward(norm: Any, x: Tensor) -> Tensor:
    if norm.weight.requires_grad or x.dtype != norm.weight.dtype:
        found: Tensor = type(norm).forward(norm, x)
        return found
    return _Normed.apply(x, norm.weight, _eps(norm))


def _alike(part: torch.nn.Module) -> bool:
    weight = getattr(part, "weight", None)
    if "RMSNorm" not in type(part).__name__ or not isinstance(weight, Tensor) or _eps(part) is None:
        return False
    tried = TRIED.to(weight).repeat(weight.numel() // len(TRIED) + 1)[None, : weight.numel()]
    with torch.no_grad():
        theirs, ours = type(part).forward(part, tried), _Normed.apply(tried, weight, _eps(part))
    return torch.allclose(ours, theirs, rtol=2 * torch.finfo(weight.dtype).eps)


def _eps(norm: Any) -> Any:
    return getattr(norm, "variance_epsilon", None)
