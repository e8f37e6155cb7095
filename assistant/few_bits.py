"""Frozen matrices that bitsandbytes keeps in 4 or 8 bits, as a CPU computes with them.

A pass that is to have gradients reads a matrix whole, in the numbers of what it meets, and reads it again on
its way back, so that nothing wide is kept. Without gradients the library has a faster way for few rows.
Microseconds of a product with (1536, 576), bfloat16, one thread of a CPU that has AVX512-BF16:

    rows                         1     16     64    256   1024
    NF4, read whole            288    391    785   2393   8982
    NF4, packed                 73    245    841   3237  12827
    int8, read whole           485    614   1035   2660   9314
    int8, as the library does  232    391    747   2242  11885

So serving takes the library's way: read whole, a token of the embedded model in NF4 took twice as long.
Packing is for serving alone. It happens in the first pass without gradients, and from then on a pass has
none: bitsandbytes' kernel for what it packed knows no way back, and says no more than a warning of torch's.
Knows torch and bitsandbytes' classes by name; no PEFT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assistant.adapters.rounding import by_own_bits

PACKED_ROWS = 32
"""bitsandbytes packs so many rows of a matrix together, and stops where they do not come out even."""


def keep_layout(model: nn.Module) -> None:
    """Let no matrix in 4 bits be packed, and unpack those that are: what is packed can neither be trained
    beside nor be read whole, as DoRA does for the lengths of its rows.
    """
    for part in _in_4_bits(model):
        part.support_avx512bf16_for_cpu = False
        if getattr(part.weight.quant_state, "packing_format_for_cpu", False):
            from bitsandbytes.functional import _convert_weight_packed_for_cpu_inverse as unpacked

            part.weight.data, part.weight.quant_state = unpacked(part.weight.data, part.weight.quant_state)
            part.quant_state = part.weight.quant_state


def let_pack(model: nn.Module) -> None:
    """Let matrices in 4 bits be packed where the CPU has the kernel and their sizes allow it."""
    for part in _in_4_bits(model):
        from bitsandbytes.functional import has_avx512bf16

        state = part.weight.quant_state
        even = part.out_features % PACKED_ROWS == 0 and part.in_features % state.blocksize == 0
        part.support_avx512bf16_for_cpu = even and has_avx512bf16()


def _in_4_bits(model: nn.Module) -> list[Any]:
    return [part for part in model.modules() if type(part).__name__ == "Linear4bit" and _is_librarys(part)]


def _is_librarys(part: nn.Module) -> bool:
    return type(part).__module__.startswith("bitsandbytes.")


def computes(base: Any, x: Tensor) -> bool:
    """Whether this module can compute W x in the numbers of x: by `read`, or by `wide` if `has_kernel`."""
    if type(base) is nn.Linear:
        return base.weight.dtype == x.dtype
    if not _is_librarys(base) or x.device.type != "cpu":
        return False
    if type(base).__name__ == "Linear8bitLt":
        return not base.state.has_fp16_weights
    state = base.weight.quant_state
    alike = type(base).__name__ == "Linear4bit" and state.dtype == x.dtype == (base.compute_dtype or x.dtype)
    return alike and (has_kernel(base) or not getattr(state, "packing_format_for_cpu", False))


def read(base: Any, dtype: torch.dtype) -> Tensor:
    """W, (out, in), each number rounded once."""
    if type(base) is nn.Linear:
        return base.weight
    if type(base).__name__ == "Linear4bit":
        from bitsandbytes.functional import dequantize_4bit

        found: Tensor = dequantize_4bit(base.weight.data, base.weight.quant_state)
        return found
    scales = base.weight.SCB if base.state.SCB is None else base.state.SCB  # the first pass moves them
    return base.weight.data.to(dtype).mul_(scales.unsqueeze(1) / 127)


def has_kernel(base: Any) -> bool:
    """Whether this pass is the library's own: it has no gradients, and none is to come (see the table)."""
    if torch.is_grad_enabled() or base.training or type(base) is nn.Linear:
        return False
    return bool(type(base).__name__ == "Linear8bitLt" or base.support_avx512bf16_for_cpu)


def wide(base: Any, x: Tensor) -> Tensor:
    """W x + b in float32. Of int8 that is the sum itself; of what is packed the kernel's, which rounds it."""
    if type(base).__name__ == "Linear8bitLt":
        whole: Tensor = base(x.float())
        return whole
    state = base.weight.quant_state
    if not getattr(state, "packing_format_for_cpu", False):
        packs: Tensor = base(x)  # which is its first such pass
        return packs.float()
    found: Tensor = torch.ops.bitsandbytes.gemv_4bit(
        x, base.weight.data, state.shape, state.absmax, state.code, state.blocksize
    ).float()
    return found if base.bias is None else found.add_(base.bias)


def narrowed(base: Any, total: Tensor, dtype: torch.dtype) -> Tensor:
    """`total`, what `wide` gave and what was added to it, in `dtype`.

    Beside a sum that the kernel has rounded, what is less than half of its last bit would be rounded away
    again, always. So it moves that bit as often as it is large (`rounding.by_own_bits`).
    """
    return total.to(dtype) if type(base).__name__ == "Linear8bitLt" else by_own_bits(total)
