"""LoRA beside a base that bitsandbytes keeps in 4 or 8 bits: exact numbers, whole effect, gradients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import bnb as peft_bnb
from torch import Tensor

from assistant import base as bases
from assistant import few_bits, registry
from assistant.adapters import quick_lora
from assistant.base import Base
from assistant.engines.served_model import ServedModel
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models

WIDE, RANK = 128, 4
KINDS = ["nf4", "int8"]


def quantised(kind: str) -> Any:
    """A matrix of (64, 128), as transformers has bitsandbytes keep it."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    torch.manual_seed(0)
    made: Any
    if kind == "nf4":
        made = Linear4bit(WIDE, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    else:
        made = Linear8bitLt(WIDE, 64, bias=False, has_fp16_weights=False, threshold=6.0)
    made = made.bfloat16().to("cpu")
    made.requires_grad_(False)
    return made


def layer(kind: str, *, ours: bool) -> Any:
    """PEFT's layer on such a matrix; A and B in float32, as PEFT keeps them."""
    of = {"nf4": peft_bnb.Linear4bit, "int8": peft_bnb.Linear8bitLt}[kind]
    made: Any = of(quantised(kind), "default", LoraConfig(r=RANK, init_lora_weights=False), r=RANK)
    for name in ("lora_A", "lora_B"):
        getattr(made, name).float()
    few_bits.keep_layout(made)
    if ours:
        assert quick_lora.install(made) == 1
    return made


def parts(of: Any) -> tuple[Tensor, Tensor, Tensor, float]:
    """W, A, B and s, in float32."""
    base = of.get_base_layer()
    return (
        few_bits.read(base, torch.bfloat16).float(), of.lora_A["default"].weight.detach(),
        of.lora_B["default"].weight.detach(), of.scaling["default"],
    )  # fmt: skip


def off(found: Tensor, exact: Tensor) -> float:
    return float((found.float() - exact).norm() / exact.norm())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_numbers_and_gradients_are_within_a_hundredth_of_those_in_32_bits(kind: str, training: bool) -> None:
    made = layer(kind, ours=True).train(training)
    weight, down, up, scale = parts(made)
    x = torch.randn(3, 50, WIDE).bfloat16()
    slope = torch.randn(3, 50, 64).bfloat16()
    exact = [x.float(), down.clone(), up.clone()]
    for one in exact:
        one.requires_grad_()
    said = exact[0] @ weight.T + scale * (exact[0] @ exact[1].T) @ exact[2].T
    said.backward(slope.float())
    x.requires_grad_()
    found = made(x)
    found.backward(slope)
    assert found.dtype == x.dtype
    assert off(found.detach(), said.detach()) < 0.005
    grads = [x.grad, made.lora_A["default"].weight.grad, made.lora_B["default"].weight.grad]
    for ours, theirs in zip(grads, exact, strict=True):
        assert ours is not None
        assert theirs.grad is not None
        assert off(ours, theirs.grad) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_no_small_change_is_rounded_away(kind: str) -> None:
    """A change of a 1,500th of W x, as beside a plain base: while it trains, served, and among other rows."""
    pefts, ours = (layer(kind, ours=way) for way in (False, True))
    weight, down, up, scale = parts(ours)
    x = torch.randn(8192, WIDE).bfloat16()
    said = x.float() @ weight.T
    change = scale * (x.float() @ down.T) @ up.T
    shrink = said.std() / change.std() / 1500
    for one in (pefts, ours):
        one.lora_B["default"].weight.data = up * shrink
    change = change * shrink * (said.abs() > said.std())
    blank = torch.zeros_like(up)

    def kept(of: Any, **more: Any) -> float:
        """The share of the change that is there, 1 for all of it, against the same layer without it."""
        with torch.no_grad():
            given = x[:, None] if more else x
            found = of(given, **more).view_as(said).float()
            mine, of.lora_B["default"].weight.data = of.lora_B["default"].weight.data, blank
            without = of(given, **more).view_as(said).float()
            of.lora_B["default"].weight.data = mine
        return float(((found - without) * change).sum() / change.square().sum())

    assert kept(pefts.train()) < 0.3
    assert abs(kept(ours.train()) - 1) < 0.1
    few_bits.let_pack(ours)
    ours.eval()
    assert abs(kept(ours) - 1) < 0.1
    assert abs(kept(ours, adapter_names=["default"] * len(x)) - 1) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_wide_is_kept_for_the_way_back(kind: str) -> None:
    made = layer(kind, ours=True).train()
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        made(torch.randn(2, WIDE).bfloat16().requires_grad_())
    assert sorted(sizes) == sorted([2 * WIDE, 2 * RANK, RANK * WIDE, 64 * RANK])


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp(request.param) / "llama"
    tiny_models.save_llama(folder, width=64)
    return Base("few-bits", "few-bits", folder, "bfloat16", request.param, "cpu", "Used in tests.")


def test_a_pass_without_gradients_leaves_a_base_that_can_be_trained_beside(base: Base) -> None:
    """bitsandbytes would pack the weights then, on a CPU that has AVX512-BF16, and the way back be cut."""
    model: Any = bases.load_model(base)
    ids = torch.arange(1, 9)[None]
    slopes = []
    for seen in (False, True):
        if seen:
            with torch.inference_mode():
                model.eval()(input_ids=ids)
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        model.train()(inputs_embeds=embedded).logits.float().square().sum().backward()
        slopes.append(embedded.grad)
    assert float(slopes[0].norm()) > 0
    assert torch.equal(*slopes)


def test_rows_of_an_adapter_and_of_the_base_in_one_pass_are_as_each_alone(
    base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    adapter = tiny_models.save_adapter(base, tmp_path / "adapter", strength=0.02)
    versions = [
        tiny_models.base_version(base), registry.add(store, home, base, adapter, None, "adapted"),
    ]  # fmt: skip
    served = ServedModel(bases.load_model(base), base.id, home)
    ids = torch.arange(1, 25)[None]

    def said(asked: Sequence[ModelVersion]) -> Tensor:
        def logits(_: object) -> Tensor:
            rows = ids.repeat(len(asked), 1)
            found: Tensor = served.forward(asked)(input_ids=rows, use_cache=False).logits.float()
            return found

        return served.run(versions[1], logits)

    try:
        with served.held(versions[1]):
            plain, adapted = (said([one])[0] for one in versions)
            mixed = said([versions[1], versions[0], versions[1]])
    finally:
        served.close()
    assert torch.equal(mixed[0], mixed[2])
    moved = float((adapted - plain).norm())
    assert moved > 0.02 * float(plain.norm())
    assert float((mixed[1] - plain).norm()) < 0.2 * moved
    assert float((mixed[0] - adapted).norm()) < 0.2 * moved
