"""What a process that trains keeps though nobody needs it any more, and how it lets go. Knows no model.

glibc keeps what is freed below a block that is still held, and oneDNN what it made for each shape of a
product. Batches are of other lengths, so that the latter grew from step to step (docs/memory.md).
"""

import ctypes
import sys
from functools import cache
from typing import Any

FEW_KERNELS = {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
"""Environment, read at the first product: how many products torch and oneDNN keep what they made for, 1,024
by default. The layers of one batch take some forty, and the next batch has other lengths."""


def give_back() -> None:
    """Every free page of the heap. Does nothing where the C library is not glibc."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
