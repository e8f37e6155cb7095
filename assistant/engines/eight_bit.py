"""A base's weights, with an adapter merged or not, in 8 bits. Knows files and numbers; no graph.

Each row of a matrix is cut into groups of 64 numbers that share one float16 scale, or of 32, as GGML's Q8_0,
where its length asks for it. What is multiplied with them is put into 8 bits in the same groups: with 32, the
plugin reads prompts an eighth slower, and with 192 what a model says of a text changes twice as much
(bench/scales.py).
Merging into 4 bits would lose an adapter; 8 bits keep it. What was computed once is kept in one file, whose
arrays are mapped into memory rather than read.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assistant.adapters.merging import Merged
from assistant.tensor_files import Array, TensorFiles
from feedback.errors import HoneError

GROUP, SMALL_GROUP = 64, 32
LARGEST = 127
KEPT_FILES = 6


@dataclass(frozen=True)
class EightBit:
    """A matrix: `values` int8 (rows, groups, numbers in a group) times `scales` float16 (rows, groups, 1)."""

    values: Array
    scales: Array

    def dequantised(self) -> Array:
        """The float32 matrix, (rows, columns), that these stand for."""
        whole = self.values.astype(np.float32) * self.scales.astype(np.float32)
        return whole.reshape(len(whole), -1)


def quantised(matrix: Array) -> EightBit:
    """`matrix` (rows, columns) to the nearest 8 bits; columns must be a multiple of SMALL_GROUP."""
    size = SMALL_GROUP if matrix.shape[1] % GROUP else GROUP
    groups = matrix.reshape(len(matrix), -1, size)
    scales = (np.abs(groups).max(-1, keepdims=True) / LARGEST).astype(np.float16)
    inverse = np.divide(1, scales, out=np.zeros_like(scales, np.float32), where=scales > 0, dtype=np.float32)
    values = groups * inverse
    np.rint(values, out=values)
    return EightBit(np.clip(values, -LARGEST, LARGEST, out=values).astype(np.int8), scales)


def prepare(base_folder: Path, adapter_folder: Path | None, kept: Path) -> "EightBitFile":
    """The weights of a base with its adapter, from `kept` where they were written before, else computed.

    Raises ValueError or OSError when the adapter or the weights cannot be read.
    """
    if not kept.is_file():
        base = TensorFiles(sorted(base_folder.glob("*.safetensors")))
        _write(kept, Merged(base, adapter_folder))
    found = EightBitFile(kept)  # mapped: whoever deletes the file from now on takes nothing away
    with suppress(OSError):
        os.utime(kept)
    _forget(kept.parent)
    return found


def _forget(folder: Path) -> None:
    """Delete what was not used for longest; each file is the size of a model, and can be computed again."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FILES]:
        with suppress(OSError):  # Windows keeps what some process still reads
            file.unlink()


class EightBitFile:
    """Weights as `prepare` wrote them: matrices in 8 bits, everything else float32."""

    def __init__(self, file: Path) -> None:
        self._tensors = TensorFiles([file])

    def __contains__(self, name: str) -> bool:
        return name in self._tensors or f"{name}.values" in self._tensors

    def matrix(self, *names: str) -> EightBit:
        """The matrices `names`, one below the other."""
        parts = [
            EightBit(self._tensors.raw(f"{name}.values"), self._tensors.raw(f"{name}.scales"))
            for name in names
        ]
        if len(parts) == 1:
            return parts[0]
        return EightBit(
            np.concatenate([part.values for part in parts]), np.concatenate([part.scales for part in parts])
        )

    def vector(self, name: str) -> Array:
        return self._tensors.raw(name)

    def forget(self) -> None:
        """See `TensorFiles.forget`."""
        self._tensors.forget()


def _write(kept: Path, merged: Merged) -> None:
    """Aside, then renamed: a kept file is whole. One matrix a thread, for numpy frees them of each other."""

    def converted(name: str) -> dict[str, Array]:
        tensor = merged.float32(name)
        if tensor.ndim != 2:
            return {name: tensor}
        found = quantised(tensor)
        return {f"{name}.values": found.values, f"{name}.scales": found.scales}

    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f".{kept.name}.{os.getpid()}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        arrays = {key: array for part in pool.map(converted, merged) for key, array in part.items()}
    try:
        _save(aside, arrays)
        aside.rename(kept)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise HoneError("The 8-bit weights could not be written.", f"{error}.", "Free some space.") from error


def _save(file: Path, arrays: Mapping[str, Array]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
