"""RMS norms in fewer passes: transformers' numbers and gradients, and its own way for everything else."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from training import quick_norms

SIZE = 37


def norm(kind: Any = LlamaRMSNorm, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    made = kind(SIZE, eps=1e-5)
    torch.nn.init.normal_(made.weight, mean=1.0)
    return made.to(dtype).requires_grad_(requires_grad=False)


def tried(made: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What it makes of states of many sizes, and the gradient by them."""
    torch.manual_seed(1)
    states = (torch.randn(2, 5, SIZE) * torch.logspace(-3, 3, 5)[:, None]).to(dtype).requires_grad_()
    found = made(states)
    found.backward(torch.randn(2, 5, SIZE).to(dtype))
    assert states.grad is not None
    return found.detach(), states.grad


@pytest.mark.parametrize("kind", [LlamaRMSNorm, Qwen3RMSNorm])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_numbers_and_gradients_are_those_of_transformers(kind: Any, dtype: torch.dtype, near: float) -> None:
    theirs, their_slope = tried(norm(kind, dtype), dtype)
    made = norm(kind, dtype)
    assert quick_norms.install(made) == 1
    ours, our_slope = tried(made, dtype)
    if dtype == torch.bfloat16:
        assert torch.equal(ours, theirs)
    assert torch.allclose(ours, theirs, rtol=near)
    per_row = their_slope.abs().amax(-1, keepdim=True)  # rows differ by a million in size
    assert ((our_slope - their_slope).abs() <= near * per_row).all()


def test_it_keeps_the_states_as_they_came_and_not_in_float32() -> None:
    kept: list[int] = []
    made = norm(dtype=torch.bfloat16)
    assert quick_norms.install(made) == 1
    states = torch.randn(4, SIZE).bfloat16().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        made(states)
    assert sum(kept) == states.nbytes + made.weight.nbytes + 4 * len(states)


def test_a_weight_that_is_trained_has_its_gradient() -> None:
    made = norm()
    quick_norms.install(made)
    made.weight.requires_grad_()
    tried(made, torch.float32)
    assert made.weight.grad is not None


def test_states_of_another_type_than_the_weight_go_the_norms_own_way() -> None:
    made = norm(dtype=torch.bfloat16)
    quick_norms.install(made)
    states = torch.randn(4, SIZE)
    assert torch.equal(made(states), LlamaRMSNorm.forward(made, states))


@pytest.mark.parametrize("made", [GemmaRMSNorm(SIZE), torch.nn.LayerNorm(SIZE), torch.nn.Linear(SIZE, SIZE)])
def test_a_layer_that_computes_something_else_is_left_alone(made: Any) -> None:
    assert quick_norms.install(made) == 0
    assert "forward" not in vars(made)
