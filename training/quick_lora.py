"""LoRA in fewer passes over memory: the same sum as PEFT's, with its product added in place.

PEFT computes W x, B (A x), its scaling and their sum one after the other, each a new tensor as wide as the
layer's output, and autograd walks back through each of them. On a CPU, where a step of a small model waits
for memory, one function does it in place. Knows torch and PEFT; no trainer.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor
from torch.nn import functional


class _Added(torch.autograd.Function):
    """y = W x + b + s B A x, with W and b frozen (Hu et al., 2021, eq. 3).

    All is computed in the numbers of x and W, as autocast would. A and B may be kept in wider ones, and then
    so are their gradients.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - autograd hands in tensors by place
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        """x: (..., in), weight: (out, in), down: (rank, in), up: (out, rank)."""
        rows, kept = x.reshape(-1, x.shape[-1]), down.dtype
        down, up = down.to(x.dtype), up.to(x.dtype)
        narrow = rows @ down.T
        found = functional.linear(rows, weight, bias).addmm_(narrow, up.T, alpha=scale)
        ctx.save_for_backward(rows, narrow, weight, down, up)
        ctx.scale, ctx.kept = scale, kept
        return found.view(*x.shape[:-1], found.shape[-1])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, narrow, weight, down, up = ctx.saved_tensors
        slope = upstream[0].reshape(-1, upstream[0].shape[-1])
        narrow_slope = (slope @ up).mul_(ctx.scale)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = (slope @ weight).addmm_(narrow_slope, down).view(*upstream[0].shape[:-1], rows.shape[-1])
        by_down, by_up = narrow_slope.T @ rows, (slope.T @ narrow).mul_(ctx.scale)
        return by_x, None, None, by_down.to(ctx.kept), by_up.to(ctx.kept), None


def install(model: Any) -> int:
    """Let every plain LoRA layer of a PEFT model compute this way; returns how many do.

    A layer goes PEFT's way whenever it is asked for more: several adapters or none, dropout, a variant such
    as DoRA, a quantised or trained base, types other than the base's or float32.
    """
    layers = [part for part in model.modules() if type(part) is Linear]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)  # type: ignore[method-assign]
    return len(layers)


def _forward(layer: Linear, x: Tensor, *args: Any, **named: Any) -> Tensor:
    parts = None if args or named else _plain(layer, x)
    if parts is None:
        found: Tensor = Linear.forward(layer, x, *args, **named)
        return found
    base, down, up, scale = parts
    found = _Added.apply(x, base.weight, base.bias, down, up, scale)
    return found


def _plain(layer: Linear, x: Tensor) -> tuple[torch.nn.Linear, Tensor, Tensor, float] | None:
    """The layer's parts where it is no more than W x + s B A x, with W frozen; else None."""
    base = layer.get_base_layer()
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if type(base) is not torch.nn.Linear or name not in layer.lora_A or name in layer.lora_variant:
        return None
    down: Any = layer.lora_A[name]
    up: Any = layer.lora_B[name]
    frozen = not any(part.requires_grad for part in base.parameters())
    plain = type(layer.lora_dropout[name]) is torch.nn.Identity and down.bias is None and up.bias is None
    alike = x.dtype == base.weight.dtype and down.weight.dtype == up.weight.dtype
    alike = alike and down.weight.dtype in (x.dtype, torch.float32)
    if not (frozen and plain and alike) or torch.is_autocast_enabled(x.device.type):
        return None
    return base, down.weight, up.weight, float(layer.scaling[name])
