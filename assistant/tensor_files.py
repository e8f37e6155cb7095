"""The tensors of safetensors files by name, mapped into memory rather than read. Knows files and numbers."""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

KINDS = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1"}
"""safetensors' names of number types, and numpy's (it has none for bfloat16)."""


class TensorFiles:
    """The tensors of a folder's safetensors files by name, as float32, read when asked for. The files are
    mapped into memory once: they may be deleted afterwards.
    """

    def __init__(self, files: list[Path]) -> None:
        self._where: dict[str, tuple[Array, int, dict[str, Any]]] = {}
        self._maps: list[mmap.mmap] = []
        for file in files:
            with file.open("rb") as opened:
                # Copied when written, which nobody does: OpenVINO shares only arrays that could be.
                self._maps.append(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
            mapped = np.frombuffer(self._maps[-1], np.uint8)
            size = int.from_bytes(mapped[:8].tobytes(), "little")
            header = json.loads(mapped[8 : 8 + size].tobytes())
            header.pop("__metadata__", None)
            self._where |= {name: (mapped, 8 + size, entry) for name, entry in header.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def raw(self, name: str) -> Array:
        """A tensor as it is stored, mapped into memory; bfloat16 as uint16."""
        mapped, start, entry = self._where[name]
        first, last = entry["data_offsets"]
        numbers = mapped[start + first : start + last].view(KINDS[entry["dtype"]])
        return numbers.reshape(tuple(entry["shape"]) or (1,))

    def float32(self, name: str) -> Array:
        stored = self.raw(name)
        if self._where[name][2]["dtype"] == "BF16":  # the upper half of a float32
            wide = stored.astype(np.uint32)
            wide <<= 16  # in place: a vocabulary is 100 MB
            return wide.view(np.float32)
        return stored.astype(np.float32)

    def forget(self) -> None:
        """Give back the memory of what was read so far, where the system can; what is needed is read anew."""
        for one in self._maps:
            if hasattr(one, "madvise"):  # Windows has none
                one.madvise(mmap.MADV_DONTNEED)
