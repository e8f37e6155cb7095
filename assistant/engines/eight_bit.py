"""A base's weights, with an adapter merged or not, in 8 bits. Knows files and numbers; no graph.

Each row of a matrix is cut into groups of 32 numbers that share one float16 scale (GGML's Q8_0).
Merging into 4 bits would lose an adapter; 8 bits keep it. What was computed once is kept in one file, whose
arrays are mapped into memory rather than read.
"""

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback.errors import HoneError

GROUP = 32
LARGEST = 127
KEPT_FILES = 6

Array = NDArray[Any]

KINDS = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1"}
"""safetensors' names of number types, and numpy's (it has none for bfloat16)."""


@dataclass(frozen=True)
class EightBit:
    """A matrix: `values` int8 (rows, groups, 32) times `scales` float16 (rows, groups, 1)."""

    values: Array
    scales: Array

    def dequantised(self) -> Array:
        """The float32 matrix, (rows, columns), that these stand for."""
        whole = self.values.astype(np.float32) * self.scales.astype(np.float32)
        return whole.reshape(len(whole), -1)


def quantised(matrix: Array) -> EightBit:
    """`matrix` (rows, columns) to the nearest 8 bits; columns must be a multiple of 32."""
    groups = matrix.reshape(len(matrix), -1, GROUP)
    scales = (np.abs(groups).max(-1, keepdims=True) / LARGEST).astype(np.float16)
    inverse = np.divide(1, scales, out=np.zeros_like(scales, np.float32), where=scales > 0, dtype=np.float32)
    values = np.rint(groups * inverse)
    return EightBit(np.clip(values, -LARGEST, LARGEST, out=values).astype(np.int8), scales)


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
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32)

    def forget(self) -> None:
        """Give back the memory of what was read so far, where the system can; what is needed is read anew."""
        for one in self._maps:
            if hasattr(one, "madvise"):  # Windows has none
                one.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Lora:
    """The low-rank changes of a PEFT adapter: matrix name -> (A, B, scale); W becomes W + scale B A.

    LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685, equation 3.
    """

    changes: Mapping[str, tuple[Array, Array, float]]


def read_lora(folder: Path) -> Lora:
    """Raises ValueError for an adapter that cannot be added to the weights exactly like this."""
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    unlike = [
        key
        for key in ("use_dora", "fan_in_fan_out", "modules_to_save", "layer_replication")
        if config.get(key)
    ]
    if config.get("peft_type") != "LORA" or unlike or config.get("bias", "none") != "none":
        kind = ", ".join(unlike) or f"{config.get('peft_type')}, bias {config.get('bias')}"
        raise ValueError(f"Only plain LoRA can be merged into 8 bits; this is {kind}.")
    tensors = TensorFiles([folder / "adapter_model.safetensors"])
    changes = {}
    for name in tensors:
        stem, found, _ = name.partition(".lora_A.")
        if not found:
            if ".lora_B." not in name:
                raise ValueError(f"Its tensor {name} is not understood.")
            continue
        a, b = tensors.float32(name), tensors.float32(name.replace(".lora_A.", ".lora_B."))
        alpha = float(_own(config.get("alpha_pattern"), stem, config["lora_alpha"]))
        rank = len(a)
        scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        changes[stem.removeprefix("base_model.model.")] = (a, b, scale)
    return Lora(changes)


def _own(patterns: Mapping[str, float] | None, stem: str, otherwise: float) -> float:
    return next((value for key, value in (patterns or {}).items() if stem.endswith(key)), otherwise)


def prepare(base_folder: Path, adapter_folder: Path | None, kept: Path) -> "EightBitFile":
    """The weights of a base with its adapter, from `kept` where they were written before, else computed.

    Raises ValueError or OSError when the adapter or the weights cannot be read.
    """
    if not kept.is_file():
        base = TensorFiles(sorted(base_folder.glob("*.safetensors")))
        lora = read_lora(adapter_folder) if adapter_folder is not None else Lora({})
        unknown = [name for name in lora.changes if f"{name}.weight" not in base]
        if unknown:
            raise ValueError(f"The base has no {unknown[0]}.")
        _write(kept, base, lora)
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


def _write(kept: Path, base: TensorFiles, lora: Lora) -> None:
    """Aside, then renamed: a kept file is whole. One matrix a thread, for numpy frees them of each other."""

    def converted(name: str) -> dict[str, Array]:
        tensor = base.float32(name)
        if tensor.ndim != 2:
            return {name: tensor}
        if change := lora.changes.get(name.removesuffix(".weight")):
            a, b, scale = change
            tensor = tensor + scale * (b @ a)
        found = quantised(tensor)
        return {f"{name}.values": found.values, f"{name}.scales": found.scales}

    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f".{kept.name}.{os.getpid()}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        arrays = {key: array for part in pool.map(converted, base) for key, array in part.items()}
    try:
        _save(aside, arrays)
        aside.rename(kept)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise HoneError("The 8-bit weights could not be written.", f"{error}.", "Free some space.") from error


def _save(file: Path, arrays: Mapping[str, Array]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
