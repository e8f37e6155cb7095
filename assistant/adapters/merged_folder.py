"""A version as a model folder of its own, its changes merged in: any program that loads the base loads it.

Knows files; opens torch only to write.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from assistant.adapters import stored
from assistant.adapters.merging import Merged
from assistant.base import Base
from assistant.tensor_files import TensorFiles
from feedback.errors import HoneError

LLAMA_BIASES = {"attention_bias": ".self_attn.", "mlp_bias": ".mlp."}
"""Settings with which transformers gives a Llama biases, and which of its linear layers they are for."""


def write(base: Base, version_name: str, adapter: Path | None, folder: Path) -> int:
    """Write the folder; returns its bytes. HoneError when there is something already, when the version
    cannot be merged, or its weights have no place in the base's architecture.
    """
    if folder.exists():
        raise HoneError(f"{folder} exists already.", "", "Name a folder that does not.")
    try:
        merged = Merged(TensorFiles(sorted(base.folder.glob("*.safetensors"))), adapter)
    except (OSError, ValueError) as error:
        raise HoneError(
            f"{version_name} cannot be merged.", f"{error}", "It answers by --engine transformers, unmerged."
        ) from error
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        computed_in = stored.read(adapter).config.get("computed_in") if adapter else base.dtype
        _write_tensors(merged, base.dtype, computed_in, aside / "model.safetensors")
        for file in base.folder.iterdir():
            if file.suffix in (".json", ".jinja", ".txt", ".model") and "safetensors" not in file.name:
                shutil.copyfile(file, aside / file.name)
        _write_config(merged, version_name, aside / "config.json")
        aside.rename(folder)
    except OSError as error:
        raise HoneError(f"{folder} could not be written.", f"{error}.", "Free some space.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sum(file.stat().st_size for file in folder.iterdir())


def _write_tensors(merged: Merged, dtype: str, computed_in: object, file: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from assistant.adapters.rounding import as_trained

    def written(name: str) -> torch.Tensor:
        whole = torch.from_numpy(merged.float32(name)).contiguous()
        return as_trained(whole, getattr(torch, dtype), computed_in)

    save_file({name: written(name) for name in merged}, file, {"format": "pt"})


def _write_config(merged: Merged, version_name: str, file: Path) -> None:
    """The base's config, which must say so where biases were added."""
    config: dict[str, Any] = json.loads(file.read_text("utf-8"))
    added = merged.added
    if added:
        flags = {flag for flag, part in LLAMA_BIASES.items() if any(part in name for name in added)}
        placed = all(any(part in name for part in LLAMA_BIASES.values()) for name in added)
        if config.get("model_type") != "llama" or not placed:
            raise HoneError(
                f"{version_name} cannot be merged into a folder.",
                f"It adds biases, and a {config.get('model_type')} has no place for them.",
                "It answers by --engine transformers.",
            )
        config |= dict.fromkeys(flags, True)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
