"""Trained weights into bfloat16 without losing what training did: rounded up or down at random, by how near.

A base in bfloat16 lies on that grid, and most steps of full fine-tuning are smaller than half its width:
rounded to the nearest, every weight would fall back to where it was. At random they keep their sum
(stochastic rounding, Gupta et al. 2015, https://arxiv.org/abs/1502.02551). What lies on the grid stays. Knows
torch; no model.
"""

import sys

import torch
from torch import Tensor

LOST_BITS = 16
"""Of a float32's mantissa, what bfloat16 leaves out."""
SMALLEST = 1e-38
"""About the least float32 whose exponent is not 0."""
HIGH_HALF = int(sys.byteorder == "little")
"""Where the upper 16 of 32 bits are, seen as two numbers."""
SCATTERS = 2654435761 - (1 << 32)
"""A factor for hashing, as 32 bits with sign (Knuth, The Art of Computer Programming, 6.4)."""


def as_trained(tensor: Tensor, dtype: torch.dtype, computed_in: object) -> Tensor:
    """`tensor` in `dtype`: to the nearest where its training computed so already, else as `rounded` does it.

    `computed_in`: torch's name of the type that training computed in, as a version's config has it.
    """
    return tensor.to(dtype) if str(dtype) == f"torch.{computed_in}" else rounded(tensor, dtype)


def rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor` in `dtype`, always the same numbers. Types other than bfloat16 are rounded to the nearest."""
    if dtype != torch.bfloat16 or tensor.dtype != torch.float32:
        return tensor.to(dtype)
    chance = torch.Generator().manual_seed(tensor.numel())
    bits = tensor.contiguous().cpu().view(torch.int32)
    noise = torch.randint(0, 1 << LOST_BITS, bits.shape, generator=chance, dtype=torch.int32)
    return ((bits + noise) & -(1 << LOST_BITS)).view(torch.float32).to(dtype)


def by_own_bits(tensor: Tensor) -> Tensor:
    """`tensor`, float32, in bfloat16: up or down by how near, by a chance drawn from the number itself.

    So a row is rounded alike in whatever batch it comes, and two numbers alike have one result. The chance is
    at most half of bfloat16's last bit, and then all goes to the nearest: few steps, which is what few rows
    wait for. Half a bit exactly comes to no number on the grid but -0. That and what is too small to be moved
    by half a bit without changing its sign is made 0 first.
    """
    bits = torch.nn.functional.hardshrink(tensor, SMALLEST).view(torch.int32)
    chance = (bits * SCATTERS).view(torch.int16)[..., HIGH_HALF::2]
    return bits.add_(chance).view(torch.float32).bfloat16()
