"""A folder of weights as files: is it whole, how large is it, what identifies it. Reads headers and hashes,
loads nothing.

The file format is safetensors: https://github.com/huggingface/safetensors#format
"""

import hashlib
import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.checksums import remembered_sha256
from feedback.errors import HoneError
from feedback.home import Home

IDENTITY = re.compile(
    r".*\.safetensors|.*\.jinja|(config|generation_config|tokenizer.*|vocab|special_.*)\.json|.*\.model|merges\.txt"
)
"""The files that decide what a model computes; a README beside them does not."""


@dataclass(frozen=True)
class Weights:
    """What the files say. `parameters` counts numbers, `quantized` names a scheme already applied."""

    id: str
    parameters: int
    quantized: str | None


def inspect(home: Home, folder: Path) -> Weights:
    """Check a model folder without loading it. Raises HoneError, naming the file, when something is missing
    or damaged.
    """
    config = _config(folder)
    shards = _shards(folder)
    parameters = sum(_parameters(shard) for shard in shards)
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if IDENTITY.fullmatch(file.name):
            digest.update(f"{file.name} {remembered_sha256(home, file)}\n".encode())
    slug = re.sub(r"[^a-z0-9.]+", "-", folder.resolve().name.lower()).strip("-") or "model"
    quantized = config.get("quantization_config")
    return Weights(
        id=f"{slug}-{digest.hexdigest()[:12]}",
        parameters=parameters,
        quantized=str(quantized.get("quant_method", "unknown")) if isinstance(quantized, dict) else None,
    )


def _damaged(file: Path, why: str) -> HoneError:
    return HoneError(
        f"The model file {file} is damaged.", why, "Fetch the model again, or choose another with --model."
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(file, f"It cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise _damaged(file, "It should hold one JSON object.")
    return content


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise HoneError(
            f"The folder {folder} holds no model.",
            "It has no config.json.",
            "Choose a folder written by save_pretrained, a Hub id, or the embedded model.",
        )
    return _read_json(folder / "config.json")


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise _damaged(index, "It has no weight_map.")
        shards = [folder / name for name in sorted(set(weight_map.values()))]
    else:
        shards = [folder / "model.safetensors"]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise HoneError(
            f"The folder {folder} holds no complete model.",
            f"{missing[0]} is missing; only safetensors are read, because pickled weights can run code.",
            "Fetch the model again, or convert it with save_pretrained.",
        )
    return shards


def _parameters(shard: Path) -> int:
    """Numbers in one safetensors file, from its header; its length must be what the header promises."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        head = file.read(8)
        header_bytes = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if header_bytes > size - 8:
            raise _damaged(shard, "It ends before its own header does.")
        try:
            header = json.loads(file.read(header_bytes))
        except ValueError as error:
            raise _damaged(shard, "Its header is not readable.") from error
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    try:
        promised = 8 + header_bytes + max((entry["data_offsets"][1] for entry in tensors), default=0)
        parameters = sum(math.prod(entry["shape"]) for entry in tensors)
    except (KeyError, TypeError, IndexError) as error:
        raise _damaged(shard, "Its header is not that of a safetensors file.") from error
    if size != promised:
        raise _damaged(shard, f"It has {size} bytes where its header promises {promised}.")
    return parameters
