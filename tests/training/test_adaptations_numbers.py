"""Every family under Hone's own passes: the losses and gradients of TRL's and PEFT's way."""

from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from assistant.adapters import quick_lora
from assistant.adapters.families import FAMILIES
from training import adaptations, shared_prompts
from training.recipes import Recipe

IGNORED = -100
IDS = torch.tensor([[7, 8, 9, 1, 2, 3], [7, 8, 9, 4, 5, 0], [5, 6, 7, 8, 0, 0]])
SEEN = torch.tensor([[1] * 6, [1] * 5 + [0], [1] * 4 + [0] * 2])
LABELS = torch.where(SEEN.bool() & (torch.arange(6) > 2), IDS, IGNORED)
"""Two answers to one prompt, and one to another; padded on the right."""


def model(family: str, *, ours: bool) -> Any:
    """The same model, with what it trains moved from where it begins: at zero, much would not be seen."""
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, tie_word_embeddings=True,
        )
    )  # fmt: skip
    recipe = Recipe(
        method="sft", adapt=family, lora_rank=2, virtual_tokens=3, bottleneck_size=3, layers="last-1"
    )
    ready = adaptations.adapted(base, recipe, None, examples=20)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    made = ready.model if ready.peft is None else get_peft_model(ready.model, ready.peft)
    torch.manual_seed(1)
    with torch.no_grad():
        for part in made.parameters():
            if part.requires_grad:
                part.add_(0.1 * torch.randn_like(part))
    if ours:
        shared_prompts.install(made)
        quick_lora.install(made)
    return made


def tried(made: Any) -> tuple[Tensor, dict[str, Tensor]]:
    out = made(
        input_ids=IDS, attention_mask=SEEN, labels=LABELS, use_cache=False, fused_lm_head=True
    ).log_probs[:, -5:]
    (out.sum(1) * torch.tensor([1.0, -2.0, 3.0])).sum().backward()
    return out, {name: part.grad for name, part in made.named_parameters() if part.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_those_of_the_libraries(family: str) -> None:
    (theirs, their_slopes), (ours, our_slopes) = (tried(model(family, ours=way)) for way in (False, True))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert our_slopes.keys() == their_slopes.keys()
    for name, slope in their_slopes.items():
        # As a whole: weights off by 1e-7 move these gradients by 3e-4 of their length (rslora's the most).
        assert (our_slopes[name] - slope).norm() <= 1e-3 * slope.norm() + 1e-5, name
