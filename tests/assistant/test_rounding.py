"""Into 16 bits without losing small steps: their sum is kept, and what fits stays as it is."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from assistant.adapters.rounding import rounded

NUMBERS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40)


@given(NUMBERS)
def test_each_number_goes_to_one_of_its_two_neighbours_always_the_same(numbers: list[float]) -> None:
    tensor = torch.tensor(numbers, dtype=torch.float32)
    found = rounded(tensor, torch.bfloat16)
    assert ((found.float() - tensor).abs() <= tensor.abs() * 2**-7 + 1e-37).all()
    assert torch.equal(found, rounded(tensor, torch.bfloat16))
    assert torch.equal(rounded(found.float(), torch.bfloat16), found)


def test_steps_far_smaller_than_the_grid_keep_their_sum() -> None:
    base = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    step = 2e-4 * base.abs()
    found = rounded(base + step, torch.bfloat16).float()
    assert torch.equal((base + step).bfloat16().float(), base)  # to the nearest, nothing is left of them
    kept = float((found - base).sum() / step.sum())
    assert abs(kept - 1) < 0.05
