"""LoRA in fewer passes over memory and one rounding: PEFT's sum, the large product added to the small one.

PEFT computes W x, B (A x), its scaling and their sum one after the other, each a new tensor as wide as the
layer's output, and autograd walks back through each of them. On a CPU, where a step of a small model waits
for memory, one function does it in place.

And W x is added to the small product, never the other way round. In bfloat16, W x is a number of 8 bits: what
is added to it and is less than half of its last bit is gone, so that a LoRA loses the part of its effect that
it spreads in small changes. A matrix product that adds to what is there sums in float32 and rounds once.
A base in 4 or 8 bits is read whole for that, or its library's kernel computes beside (`assistant.few_bits`).
Knows torch and PEFT; no trainer.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor

from assistant import few_bits

QUANTISED = "peft.tuners.lora.bnb"
"""PEFT's module of layers on bitsandbytes' matrices, which is only imported where such a base is."""
Part = tuple[Tensor, Tensor, float]
"""A, B and s."""


class _Added(torch.autograd.Function):
    """y = W x + b + s B A x, with W and b frozen (Hu et al., 2021, eq. 3).

    All is computed in the numbers of x and W, as autocast would. A and B may be kept in wider ones, and then
    so are their gradients.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - autograd hands in tensors by place
        ctx: Any,
        x: Tensor,
        read: Callable[[], Tensor],
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        """x: (..., in), down: (rank, in), up: (out, rank). `read` gives W, (out, in), and is asked again on
        the way back: W may be kept in fewer bits.
        """
        rows, kept = x.reshape(-1, x.shape[-1]), down.dtype
        down, up = _in_numbers_of(x, down, up, scale)
        narrow = rows @ down.T
        found = (narrow @ up.T).addmm_(rows, read().T)
        if bias is not None:
            found += bias
        ctx.save_for_backward(rows, narrow, down, up)
        ctx.read, ctx.scale, ctx.kept = read, scale, kept
        return found.view(*x.shape[:-1], found.shape[-1])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, narrow, down, up = ctx.saved_tensors
        slope = upstream[0].reshape(-1, upstream[0].shape[-1])
        narrow_slope = slope @ up
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = (narrow_slope @ down).addmm_(slope, ctx.read())
            by_x = by_x.view(*upstream[0].shape[:-1], rows.shape[-1])
        by_down, by_up = narrow_slope.T @ rows, (slope.T @ narrow).mul_(ctx.scale)
        return by_x, None, None, by_down.to(ctx.kept), by_up.to(ctx.kept), None


def _in_numbers_of(x: Tensor, down: Tensor, up: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A and s B, scaled before they are rounded."""
    return down.to(x.dtype), (up * scale).to(x.dtype)


def install(model: Any) -> int:
    """Let every LoRA layer on a linear one compute this way; returns how many do. Twice is once.

    A layer goes PEFT's way whenever it is asked for more: several adapters for one row, dropout, a variant
    such as DoRA, a trained base, a base that bitsandbytes keeps on a GPU, types other than the base's or
    float32.
    """
    layers = [one for one in model.modules() if type(one) is Linear or type(one).__module__ == QUANTISED]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    return len(layers)


def _forward(layer: Any, x: Tensor, *args: Any, adapter_names: Any = None, **named: Any) -> Tensor:
    found: Tensor | None = None
    if not (args or named or layer.disable_adapters or layer.merged):
        found = _alone(layer, x) if adapter_names is None else _mixed(layer, x, adapter_names)
    if found is None:
        found = type(layer).forward(layer, x, *args, adapter_names=adapter_names, **named)
    return found


def _alone(layer: Any, x: Tensor) -> Tensor | None:
    """All rows by the active adapter; None where that is PEFT's."""
    part = _plain(layer, x, layer.active_adapters[0]) if len(layer.active_adapters) == 1 else None
    if part is None:
        return None
    base = layer.get_base_layer()
    if few_bits.has_kernel(base):
        return _beside_kernel(base, x, [(None, part)])
    found: Tensor = _Added.apply(x, partial(few_bits.read, base, x.dtype), base.bias, *part)
    return found


def _mixed(layer: Any, x: Tensor, names: Sequence[str]) -> Tensor | None:
    """Each row by the adapter of its name, or by the base where the layer has none such. x: (rows, tokens,
    in). None where that is PEFT's, as with gradients.
    """
    known = {name: _plain(layer, x, name) for name in names if name in layer.lora_A}
    parts = {name: found for name, found in known.items() if found is not None}
    base = layer.get_base_layer()
    computed = few_bits.computes(base, x) and not torch.is_grad_enabled()
    if not computed or len(names) != len(x) or len(parts) < len(known):
        return None
    shares = [([at for at, asked in enumerate(names) if asked == name], part) for name, part in parts.items()]
    if few_bits.has_kernel(base):
        return _beside_kernel(base, x, shares)
    found = x.new_zeros(*x.shape[:-1], base.out_features)
    for rows, part in shares:
        down, up = _in_numbers_of(x, *part)
        found[rows] = (x[rows] @ down.T) @ up.T
    found.view(-1, found.shape[-1]).addmm_(x.reshape(-1, x.shape[-1]), few_bits.read(base, x.dtype).T)
    return found if base.bias is None else found.add_(base.bias)


def _beside_kernel(base: Any, x: Tensor, shares: Sequence[tuple[list[int] | None, Part]]) -> Tensor:
    """What the base's own kernel makes of x, and to each share of its rows (None: to all) its adapter's, in
    float32.
    """
    found, given = few_bits.wide(base, x), x.float()
    for rows, (down, up, scale) in shares:
        narrow = (given if rows is None else given[rows]) @ down.float().T
        if rows is None:
            found.view(-1, found.shape[-1]).addmm_(narrow.flatten(0, -2), up.float().T, alpha=scale)
        else:
            found[rows] += narrow @ up.float().T * scale
    return few_bits.narrowed(base, found, x.dtype)


def _plain(layer: Any, x: Tensor, name: str) -> Part | None:
    """A, B and s where the layer is no more than W x + s B A x with this adapter, and W is frozen."""
    base = layer.get_base_layer()
    if name not in layer.lora_A or name in layer.lora_variant or not few_bits.computes(base, x):
        return None
    if torch.is_autocast_enabled(x.device.type) or type(layer.lora_dropout[name]) is not torch.nn.Identity:
        return None
    if torch.is_grad_enabled() and any(part.requires_grad for part in base.parameters()):
        return None
    narrow, widening = layer.lora_A[name], layer.lora_B[name]
    down, up = narrow.weight, widening.weight
    alike = down.dtype == up.dtype and down.dtype in (x.dtype, torch.float32)
    if not alike or narrow.bias is not None or widening.bias is not None:
        return None
    return down, up, float(layer.scaling[name])
