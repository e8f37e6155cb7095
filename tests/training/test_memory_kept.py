"""The formulas for activations, held against what torch keeps for the backward pass of small real models."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from assistant import base as bases
from assistant.adapters import quick_lora
from assistant.base import Base
from training import quick_norms, reward_model, shared_prompts
from training.memory import plan as plans
from training.memory.formulas import activation_bytes
from training.memory.shape import of_config

LENGTH, PROMPT = 96, 40
SIZES: dict[str, Any] = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 1}
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(
        hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, **SIZES,
    ),
    "gpt2": lambda: GPT2Config(n_embd=96, n_layer=3, n_head=6, n_positions=256, **SIZES),
}  # fmt: skip


def kept_bytes(model: Any, rows: int, answers: int, plan: plans.Plan) -> int:
    """Bytes of all storages that a training pass keeps, the model's own weights apart."""
    torch.manual_seed(0)
    prompts = torch.randint(2, 300, (rows // answers, PROMPT)).repeat_interleave(answers, 0)
    ids = torch.cat([prompts, torch.randint(2, 300, (rows, LENGTH - PROMPT))], 1)
    labels = ids.clone()
    own = {part.untyped_storage().data_ptr() for part in [*model.parameters(), *model.buffers()]}
    found: dict[int, torch.Tensor] = {}  # held, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            found.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        if plan.method == "reward":  # first all that are preferred, then the others
            pairs = torch.cat([ids[::2], ids[1::2]])
            model(input_ids=pairs, attention_mask=torch.ones_like(pairs))
        elif plan.head == "tiled":
            labels[:, :PROMPT] = -100
            model(input_ids=ids, labels=labels, fused_lm_head=True)
        else:
            model(input_ids=ids, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


# Rows of DPO under full training are computed as those of SFT, so that there is nothing more to hold it to.
@pytest.mark.parametrize(
    ("adapt", "method"),
    [("full", "sft"), ("lora", "sft"), ("lora", "dpo"), ("lora", "kto"), ("lora", "reward")],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_activations_are_what_torch_keeps(
    name: str, adapt: plans.Adapt, precision: plans.Precision, method: plans.Method
) -> None:
    config = CONFIGS[name]()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    plan = plans.make(method, 4, LENGTH, PROMPT, adapt=adapt, precision=precision, rank=4)
    if method == "reward":
        model = reward_model.fresh(model, SimpleNamespace(pad_token_id=0), seed=0)
    if adapt == "lora":
        kind = "SEQ_CLS" if method == "reward" else "CAUSAL_LM"
        targets = LoraConfig(r=4, target_modules="all-linear", task_type=kind)
        model = get_peft_model(model, targets)
        if method != "reward":  # it packs its pairs itself
            shared_prompts.install(model)
        quick_lora.install(model)
        quick_norms.install(model)
    model.train(method == "sft")  # TRL's trainers of preferences and rewards switch dropout off
    answers = plans.SIDES.get(method, 1)
    found = kept_bytes(model, 4 * answers, answers, plan)
    assert activation_bytes(of_config(name, config.to_dict()), plan) == pytest.approx(found, rel=0.06)


@pytest.mark.parametrize(("adapt", "kind"), [("qlora", "nf4"), ("int8", "int8")])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_activations_beside_a_quantised_base_are_what_torch_keeps(
    name: str, adapt: plans.Adapt, kind: bases.Quantize, tmp_path: Path
) -> None:
    config = CONFIGS[name]()
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(tmp_path)
    base = Base("few-bits", "few-bits", tmp_path, "bfloat16", kind, "cpu", "Used in tests.")
    plan = plans.make("sft", 4, LENGTH, PROMPT, adapt=adapt, precision="bf16", rank=4)
    targets = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(bases.load_model(base), targets)
    for part in model.parameters():
        if part.requires_grad:
            part.data = part.data.bfloat16()  # as TRL does
    shared_prompts.install(model)
    quick_lora.install(model)
    quick_norms.install(model)
    found = kept_bytes(model.train(), 4, 1, plan)
    assert activation_bytes(of_config(name, config.to_dict()), plan) == pytest.approx(found, rel=0.06)
