"""Bottleneck adapters: a small network after each sub-layer, the same for training and serving.

A network computes y + U gelu(D y + d) + u, after the projection that ends attention and after the one that
ends the feed-forward part (Houlsby et al. 2019, https://arxiv.org/abs/1902.00751, figure 2; the norms
stay frozen). U is zero at first: training begins at the base. Knows torch; no trainer and no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

ENDS = ("o_proj", "down_proj", "c_proj", "out_proj", "fc2", "dense", "dense_4h_to_h", "wo")
"""Names of the projections that end a sub-layer, by architecture."""


class Bottleneck(nn.Module):
    """Computes in float32, gives what it was given. `width`: of the model; `size`: of the bottleneck."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, size, dtype=torch.float32)
        self.up = nn.Linear(size, width, dtype=torch.float32)
        for part in (self.up.weight, self.up.bias, self.down.bias):
            nn.init.zeros_(part)

    def forward(self, y: Tensor) -> Tensor:
        """y: (..., width)."""
        found: Tensor = y + self.up(nn.functional.gelu(self.down(y.float()))).to(y.dtype)
        return found


def ends(model: nn.Module) -> dict[str, nn.Module]:
    """The projections that end a sub-layer, by name. ValueError when none is known in this architecture."""
    found = {
        name: part
        for name, part in model.named_modules()
        if name.rpartition(".")[2] in ENDS and isinstance(getattr(part, "weight", None), Tensor)
    }
    if not found:
        raise ValueError(f"No end of a sub-layer is known in a {type(model).__name__}.")
    return found


def from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Bottleneck]:
    """The networks by the name of the projection that each stands after."""
    found = {}
    for stem in sorted(
        {name.removesuffix(".down.weight") for name in tensors if name.endswith(".down.weight")}
    ):
        size, width = tensors[f"{stem}.down.weight"].shape
        found[stem] = Bottleneck(width, size)
        found[stem].load_state_dict(
            {key: tensors[f"{stem}.{key}"] for key in ("down.weight", "down.bias", "up.weight", "up.bias")}
        )
    return found


def after(network: Bottleneck) -> Any:
    """The forward hook that puts a network after a module."""

    def hook(_module: nn.Module, _given: Any, y: Tensor) -> Tensor:
        found: Tensor = network(y)
        return found

    return hook
