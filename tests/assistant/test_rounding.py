"""Into 16 bits without losing small steps: their sum is kept, and what fits stays as it is."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from assistant.adapters.rounding import by_own_bits, rounded

NUMBERS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40)


WAYS = pytest.mark.parametrize("way", [lambda tensor: rounded(tensor, torch.bfloat16), by_own_bits])
Way = Callable[[Tensor], Tensor]


@WAYS
@given(numbers=NUMBERS)
@example(numbers=[-0.0, 2.0**-149, -(2.0**-140), 2.0**-126])
def test_each_number_goes_to_one_of_its_two_neighbours_always_the_same(
    way: Way, numbers: list[float]
) -> None:
    tensor = torch.tensor(numbers, dtype=torch.float32)
    found = way(tensor)
    assert ((found.float() - tensor).abs() <= tensor.abs() * 2**-7 + 1e-37).all()
    assert torch.equal(found, way(tensor))
    assert torch.equal(way(found.float()), found)


@given(numbers=NUMBERS, other=st.floats(-1e3, 1e3, width=32))
def test_by_its_own_bits_a_number_is_rounded_alike_wherever_it_stands(
    numbers: list[float], other: float
) -> None:
    tensor = torch.tensor(numbers, dtype=torch.float32)
    behind = by_own_bits(torch.cat([torch.tensor([other]), tensor]))
    assert torch.equal(behind[1:], by_own_bits(tensor))


@WAYS
def test_steps_far_smaller_than_the_grid_keep_their_sum(way: Way) -> None:
    dice = torch.Generator().manual_seed(0)
    base = torch.randn(200_000, generator=dice).bfloat16().float()
    step = 4e-4 * base.abs() * torch.rand(base.shape, generator=dice)
    found = way(base + step).float()
    assert torch.equal((base + step).bfloat16().float(), base)  # to the nearest, nothing is left of them
    kept = float((found - base).sum() / step.sum())
    assert abs(kept - 1) < 0.05
