"""Answers scored over shared prompts: the numbers and gradients of TRL's own way, on fewer tokens."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from training import shared_prompts
from training.shared_prompts import IGNORED, pack

WORDS = 61
FIELDS = ("log_probs", "entropy", "mean_logits", "is_top1", "loss", "label_mask")
TOLERANCE = 2e-5
"""Of a gradient in float32; sums come in another order."""

KINDS = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS, hidden_size=24, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=True,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=WORDS, n_embd=24, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0,
            resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0,
        )
    ),
}  # fmt: skip


def model(kind: str, config: Any = None, *, ours: bool) -> PeftModel:
    torch.manual_seed(0)
    lora = LoraConfig(
        r=3, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False,
        fan_in_fan_out=kind == "gpt2",
    )  # fmt: skip
    made = get_peft_model(KINDS[kind](), config or lora)
    add_fused_lm_head(made.get_base_model(), outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    if ours:
        shared_prompts.install(made)
    return made


def batch(rows: list[tuple[list[int], list[int]]], *, left: bool = False) -> dict[str, torch.Tensor]:
    """(prompt, answer) rows as TRL puts them: padded, labels on the answers."""
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    found: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, answer in rows:
        gap = width - len(prompt) - len(answer)
        before, after = (gap, 0) if left else (0, gap)
        found["input_ids"].append([0] * before + prompt + answer + [0] * after)
        found["attention_mask"].append([0] * before + [1] * (width - gap) + [0] * after)
        labels = [IGNORED] * (before + len(prompt)) + answer + [IGNORED] * after
        found["labels"].append(labels)
    return {name: torch.tensor(value) for name, value in found.items()}


def scored(of: PeftModel, given: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """What the model says, and the gradients of a sum that weighs each row differently."""
    out = of(**given, use_cache=False, fused_lm_head=True)
    rows = torch.arange(1.0, 1.0 + len(out.log_probs))
    (out.log_probs.sum(1) * rows).sum().backward()
    return out, {name: part.grad for name, part in of.named_parameters() if part.grad is not None}


PROMPT = [7, 8, 9, 10]
PAIRS = [(PROMPT, [1, 2, 3]), ([5], [6, 7]), (PROMPT, [1, 2, 4, 5, 6]), ([5], [9])]
STEM = [number % 11 for number in range(shared_prompts.SHORTEST_STEM)]
"""What every prompt begins with, such as a system message."""
STEMMED = [(STEM + PROMPT, [1, 2, 3]), ([*STEM, 5], [6, 7]), (STEM + PROMPT, [4, 5]), ([*STEM, 5], [9])]
SHAPES = {
    "pairs": batch(PAIRS),
    "one row": batch(PAIRS[:1]),
    "many answers to one prompt": batch([(PROMPT, [number, 2]) for number in range(1, 6)]),
    "the same row twice": batch([PAIRS[0], PAIRS[0]]),
    "no prompt": batch([([], [3, 4, 5]), ([], [3, 4])]),
    "a beginning of all prompts": batch(STEMMED),
    "a prompt that another begins with": batch([(STEM, [1, 2]), (STEM + PROMPT, [3]), (STEM, [4, 5])]),
}


LEFT = batch(PAIRS, left=True)
"""As RLOO and GRPO put prompts."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_and_gradients_are_those_of_trls_own_way(kind: str, shape: str) -> None:
    (theirs, their_slopes), (ours, our_slopes) = (
        scored(model(kind, ours=way), SHAPES[shape]) for way in (False, True)
    )
    for name in FIELDS:
        assert torch.allclose(getattr(ours, name).float(), getattr(theirs, name).float(), atol=1e-5), name
    assert our_slopes.keys() == their_slopes.keys()
    for name, slope in their_slopes.items():
        assert torch.allclose(our_slopes[name], slope, atol=TOLERANCE, rtol=1e-3), name


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_the_left_changes_nothing(kind: str) -> None:
    """Nor does it where positions are absolute, as GPT-2's are; TRL's way counts the padding there."""
    left, right = (scored(model(kind, ours=True), given_)[0] for given_ in (LEFT, SHAPES["pairs"]))
    assert torch.allclose(left.log_probs.sum(1), right.log_probs.sum(1), atol=1e-5)
    if kind == "llama":
        theirs = scored(model(kind, ours=False), LEFT)[0]
        assert torch.allclose(left.log_probs, theirs.log_probs, atol=1e-5)


def test_a_prompt_is_computed_once_and_nothing_is_padded() -> None:
    made = model("llama", ours=True)
    seen: list[torch.Size] = []
    made.get_base_model().model.register_forward_pre_hook(
        lambda _, __, named: seen.append(named["input_ids"].shape), with_kwargs=True
    )
    made(**batch(PAIRS), use_cache=False, fused_lm_head=True)
    # One prompt of one token is computed for each of its answers: sharing it would not pay.
    assert seen == [torch.Size([1, len(PROMPT) + 3 + 5 + (1 + 2) + (1 + 1)])]
    seen.clear()
    made(**batch(STEMMED), use_cache=False, fused_lm_head=True)
    assert seen == [torch.Size([1, len(STEM) + len(PROMPT) + 3 + 2 + 1 + 2 + 1])]


answers = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 3), max_size=5),
    st.lists(st.tuples(st.lists(st.integers(1, 3), max_size=3), answers), min_size=1, max_size=6),
    st.booleans(),
)
def test_every_label_is_predicted_from_the_token_before_it_and_sees_its_own_row(
    begin: list[int], rows: list[tuple[list[int], list[int]]], left: bool
) -> None:
    given_ = batch([(begin + prompt, answer) for prompt, answer in rows], left=left)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prompts, "SHORTEST_STEM", 2)
        packed = pack(**given_)
    ids = packed.ids[0].tolist()
    tree_of = {at: tree for tree in packed.trees for at in range(tree.begin, tree.end)}
    wanted = (given_["labels"][:, 1:] != IGNORED) & (given_["attention_mask"][:, :-1] == 1)
    assert len(packed.labels) == int(wanted.sum())
    for label, source, row, column in zip(
        *(part.tolist() for part in (packed.labels, packed.sources, packed.rows, packed.columns)), strict=True
    ):
        assert label == int(given_["labels"][row, column + 1])
        tree = tree_of[source]
        own = source - tree.begin
        sees = range(own + 1) if tree.mask is None else tree.mask[own].nonzero()[:, 0].tolist()
        places = [at if at < tree.stem else tree.begin + at - tree.stem for at in sees]
        real = [
            int(one)
            for one, known in zip(given_["input_ids"][row], given_["attention_mask"][row], strict=True)
            if known
        ]
        before = int(given_["attention_mask"][row, : column + 1].sum())
        assert [ids[at] for at in places] == real[:before]
        assert packed.positions[0, source] == before - 1


def test_what_it_does_not_cover_takes_trls_way() -> None:
    soft = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    for given_, config in (
        ({**SHAPES["pairs"], "position_ids": torch.zeros_like(SHAPES["pairs"]["input_ids"])}, None),
        (SHAPES["pairs"], soft),
        ({**SHAPES["pairs"], "labels": torch.full_like(SHAPES["pairs"]["labels"], IGNORED)}, None),
    ):
        theirs, ours = (
            model("llama", config, ours=way)(**given_, use_cache=False, fused_lm_head=True)
            for way in (False, True)
        )
        assert torch.equal(theirs.log_probs, ours.log_probs)


def test_a_head_that_is_trained_keeps_its_gradient() -> None:
    slopes = []
    for way in (False, True):
        made = model("llama", ours=way)
        made.get_base_model().lm_head.weight.requires_grad_(True)
        slopes.append(scored(made, SHAPES["pairs"])[1])
    assert any("lm_head" in name or "embed" in name for name in slopes[0])
    assert all(torch.equal(slopes[0][name], slopes[1][name]) for name in slopes[0])


def test_without_the_call_of_trl_the_model_is_itself() -> None:
    given_ = {name: SHAPES["pairs"][name] for name in ("input_ids", "attention_mask")}
    theirs, ours = (model("llama", ours=way)(**given_).logits for way in (False, True))
    assert torch.equal(theirs, ours)
