"""AdaLoRA: its budget from step to step, its term in the loss, and the LoRA that it is when it is done.

Zhang et al. 2023, https://arxiv.org/abs/2303.10512. Knows torch and PEFT; no trainer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft.tuners.adalora import AdaLoraModel
from peft.tuners.adalora.layer import AdaLoraLayer
from torch import Tensor

from assistant.adapters import stored

WEIGHT = 0.1
"""Of the orthogonality term (gamma of the paper's equation 4, which tries 0.1 to 0.5)."""


RANKS = "ranks.json"


def schedule(rank: int, alpha: int, steps: int) -> dict[str, int | float]:
    """PEFT's settings for a run of `steps`: half as much again as `rank` at first, `rank` on average at the
    end. A tenth of the run warms up, the last three tenths keep the ranks that were found.
    """
    return {
        "init_r": rank + (rank + 1) // 2,
        "target_r": rank,
        "lora_alpha": alpha,
        "tinit": steps // 10,
        "tfinal": steps * 3 // 10,
        "deltaT": max(1, steps // 20),
        "total_step": steps,
        "orth_reg_weight": 0.0,  # PEFT adds it to a loss that DPO never looks at: `orthogonality` instead
    }


def is_one(model: Any) -> bool:
    return isinstance(getattr(model, "base_model", None), AdaLoraModel)


def allocate(model: Any, step: int) -> None:
    """Move the budget; to be called after an optimiser step, before its gradients are forgotten."""
    model.base_model.update_and_allocate(step)


def orthogonality(model: Any) -> Tensor:
    """The mean of ||P P' - I|| over the two factors of each layer (the paper's equation 3, not squared, as in
    PEFT).
    """
    found = []
    for layer in _layers(model):
        for factor in (layer.lora_A["default"], layer.lora_B["default"].T):  # each (rank, ...)
            one = torch.eye(len(factor), device=factor.device, dtype=factor.dtype)
            found.append(torch.linalg.matrix_norm(factor @ factor.T - one))
    return torch.stack(found).mean()


def write_checkpoint(model: Any, folder: Path) -> None:
    """Everything that is trained, and the ranks found so far. PEFT's own way cuts pruned ranks off, and the
    optimiser's state would not fit what is left.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: part.detach().cpu().contiguous() for name, part in _trained(model).items()}
    save_file(tensors, folder / stored.TENSORS)
    ranks = json.dumps(model.peft_config["default"].rank_pattern)
    (folder / RANKS).write_text(ranks, encoding="utf-8")


@torch.no_grad()
def read_checkpoint(model: Any, folder: Path) -> None:
    """Go on from there. How important each rank was is measured anew."""
    from safetensors.torch import load_file

    parts = _trained(model)
    for name, tensor in load_file(folder / stored.TENSORS).items():
        parts[name].copy_(tensor)
    model.peft_config["default"].rank_pattern = json.loads((folder / RANKS).read_text("utf-8"))


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: part for name, part in model.named_parameters() if part.requires_grad}


@torch.no_grad()
def write_as_lora(model: Any, folder: Path) -> None:
    """Keep it as a plain LoRA of the largest rank that any layer came to: P diag(E) Q is B A with A = E Q.

    Layers with less are filled up with zeros, so that every program that reads LoRA reads it.
    """
    parts_of = model.base_model.model.named_modules()
    layers = {name: layer for name, layer in parts_of if isinstance(layer, AdaLoraLayer)}
    parts = {name: _product(layer) for name, layer in layers.items()}
    rank = max(len(down) for down, _ in parts.values())
    tensors = {}
    for name, (down, up) in parts.items():
        empty = rank - len(down)
        stem = f"base_model.model.{name}"
        tensors[f"{stem}.lora_A.weight"] = torch.cat([down, down.new_zeros(empty, down.shape[1])])
        tensors[f"{stem}.lora_B.weight"] = torch.cat([up, up.new_zeros(len(up), empty)], dim=1)
    config = {
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,  # the scale is in A
        "target_modules": sorted(layers),
        "fan_in_fan_out": bool(model.peft_config["default"].fan_in_fan_out),
        "bias": "none",
        "inference_mode": True,
    }
    stored.write(folder, "lora", config, tensors)


def _product(layer: Any) -> tuple[Tensor, Tensor]:
    """(A, B) of what a layer adds, without the ranks that were pruned; one zero rank where all were."""
    values = layer.lora_E["default"]
    left = values[:, 0] != 0
    left[0] |= not bool(left.any())
    scale = layer.scaling["default"] / (layer.ranknum["default"] + 1e-5)  # as PEFT has it
    return (values * layer.lora_A["default"] * scale)[left], layer.lora_B["default"][:, left]


def _layers(model: Any) -> list[Any]:
    return [part for part in model.modules() if isinstance(part, AdaLoraLayer)]
