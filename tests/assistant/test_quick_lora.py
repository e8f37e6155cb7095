"""LoRA in place: the numbers and gradients of PEFT's layers, and PEFT's way for everything else."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from assistant.adapters import quick_lora

IDS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 1]])
LINEARS = 2 * 7


def model(config: LoraConfig, *, ours: bool) -> PeftModel:
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            attention_bias=True,
        )
    )  # fmt: skip
    made = get_peft_model(base, config)
    if ours:
        assert quick_lora.install(made) == LINEARS
    return made


def lora(**changes: Any) -> LoraConfig:
    given: dict[str, Any] = {"r": 3, "target_modules": "all-linear", "init_lora_weights": False}
    return LoraConfig(**(given | changes))


def tried(made: PeftModel) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)  # for dropout
    logits = made(input_ids=IDS).logits
    logits.square().sum().backward()
    return logits, {name: part.grad for name, part in made.named_parameters() if part.grad is not None}


@pytest.mark.parametrize(
    "config",
    [
        lora(),
        lora(lora_alpha=5, use_rslora=True),
        lora(lora_dropout=0.3),
        lora(use_dora=True),
        lora(lora_bias=True),
        lora(bias="all"),
    ],
    ids=["plain", "rank-stabilised", "dropout", "DoRA", "bias of the adapter", "bias of the base"],
)
def test_numbers_and_gradients_are_those_of_peft(config: LoraConfig) -> None:
    (theirs, their_slopes), (ours, our_slopes) = (tried(model(config, ours=way)) for way in (False, True))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert our_slopes.keys() == their_slopes.keys()
    for name, slope in their_slopes.items():
        assert torch.allclose(our_slopes[name], slope, rtol=1e-4, atol=1e-5), name


def test_beside_a_base_in_16_bits_gradients_are_as_near_to_those_in_32_as_pefts() -> None:
    exact = tried(model(lora(), ours=False))[1]
    off = []
    for ours in (False, True):
        made = model(lora(), ours=False).bfloat16()
        for name, part in made.named_parameters():
            if "lora_" in name:
                part.data = part.data.float()  # as PEFT keeps them
        if ours:
            quick_lora.install(made)
        slopes = tried(made)[1]
        assert all(slope.dtype == torch.float32 for slope in slopes.values())
        off.append([float((slopes[name] - exact[name]).norm() / exact[name].norm()) for name in exact])
    assert max(off[1]) < 0.08
    assert sum(off[1]) <= sum(off[0])


def test_beside_a_base_in_16_bits_no_small_change_is_rounded_away() -> None:
    """A change of a 1,500th of W x is less than half of the last bit of what is not small in it."""
    torch.manual_seed(0)
    config = lora(target_modules=["q_proj"], layers_to_transform=[0])
    layer = next(m for m in model(config, ours=False).bfloat16().modules() if type(m) is quick_lora.Linear)
    layer.base_layer.bias = None
    layer.lora_A["default"].weight.data = layer.lora_A["default"].weight.float()
    x = torch.randn(4096, 16).bfloat16()
    down, weight = layer.lora_A["default"].weight, layer.base_layer.weight.float()
    said = x.float() @ weight.T
    up = torch.randn(16, 3)
    up *= said.std() / (layer.scaling["default"] * (x.float() @ down.T) @ up.T).std() / 1500
    layer.lora_B["default"].weight.data = up
    large = said.abs() > said.std()
    change = layer.scaling["default"] * (x.float() @ down.T) @ up.T * large

    def kept(found: Tensor) -> float:
        """The share of the change that is there, 1 for all of it."""
        return float(((found.float() - said) * change).sum() / change.square().sum())

    with torch.no_grad():
        pefts = kept(layer(x))
        assert quick_lora.install(layer) == 1
        ours = kept(layer(x))
        mixed = kept(layer(x[:, None], adapter_names=["default"] * len(x))[:, 0])
    assert pefts < 0.3
    assert abs(ours - 1) < 0.1
    assert abs(mixed - 1) < 0.1


def test_rows_of_several_adapters_and_the_base_are_pefts() -> None:
    theirs, ours = (model(lora(), ours=way) for way in (False, True))
    for one in (theirs, ours):
        torch.manual_seed(2)
        one.add_adapter("other", lora(r=2))
        one.eval()
    names = ["other", "__base__", "default", "other"]
    ids = IDS.repeat(2, 1)
    with torch.no_grad():
        found = [one(input_ids=ids, adapter_names=names).logits for one in (theirs, ours)]
    assert torch.allclose(*found, atol=1e-5)


def test_switched_off_merged_and_saved_it_is_still_peft() -> None:
    theirs, ours = (model(lora(), ours=way) for way in (False, True))
    with theirs.disable_adapter(), ours.disable_adapter(), torch.no_grad():
        assert torch.equal(ours(input_ids=IDS).logits, theirs(input_ids=IDS).logits)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    merged = [one.merge_and_unload()(input_ids=IDS).logits for one in (theirs, ours)]
    assert torch.equal(*merged)


def test_several_adapters_at_once_go_pefts_way() -> None:
    theirs, ours = (model(lora(), ours=way) for way in (False, True))
    for one in (theirs, ours):
        torch.manual_seed(2)
        one.add_adapter("other", lora(r=2))
        one.base_model.set_adapter(["default", "other"])
    with torch.no_grad():
        assert torch.equal(ours(input_ids=IDS).logits, theirs(input_ids=IDS).logits)


def test_it_is_the_quick_way_that_plain_layers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(lora(), ours=True)

    def never(*_: object, **__: object) -> Tensor:
        raise AssertionError("a plain layer went PEFT's way")

    monkeypatch.setattr(quick_lora.Linear, "forward", never)
    made(input_ids=IDS)
