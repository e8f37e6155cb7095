"""The two files of an adapted version, whatever its family: what they hold, and how they are written.

`adapter_config.json` names the kind under `peft_type`; `adapter_model.safetensors` holds the tensors. LoRA,
IA3 and soft prompts are PEFT's own folders. Changed weights (`HONE_WEIGHTS`: new values under the base's
names) and bottlenecks (`HONE_BOTTLENECK`) are Hone's: PEFT has neither. Knows files; no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.adapters.families import MERGED, WHY_NOT_MERGED, Kept

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"

KINDS: dict[str, Kept] = {
    "LORA": "lora",
    "IA3": "ia3",
    "HONE_WEIGHTS": "weights",
    "HONE_BOTTLENECK": "bottleneck",
    "PROMPT_TUNING": "prompt",
    "PREFIX_TUNING": "prefix",
}
"""peft_type in the file: what is kept there."""
TYPES: dict[Kept, str] = {kept: name for name, kept in KINDS.items()}


@dataclass(frozen=True)
class Stored:
    """What a folder says of itself. `family` is one of FAMILIES; `config` the whole adapter_config.json."""

    kept_as: Kept
    family: str
    config: Mapping[str, Any]

    @property
    def virtual_tokens(self) -> int:
        """Places in the window that a soft prompt takes; 0 for what is none."""
        return int(self.config.get("num_virtual_tokens") or 0) if self.kept_as in ("prompt", "prefix") else 0


def read(folder: Path) -> Stored:
    """Raises ValueError for a kind that Hone does not know, OSError when there is no such file."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    kept = KINDS.get(str(config.get("peft_type")))
    if kept is None:
        raise ValueError(f"An adapter of the type {config.get('peft_type')} is not known to Hone.")
    return Stored(kept, _family(kept, config), config)


def why_not_merged(folder: Path) -> str | None:
    """Why a version cannot become plain weights, as the end of a sentence; None when it can."""
    kept = read(folder).kept_as
    return None if kept in MERGED else WHY_NOT_MERGED[kept]


def write(folder: Path, kept: Kept, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write the two files; `tensors` are torch's. The folder is made where there is none."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, folder / TENSORS)
    (folder / CONFIG).write_text(json.dumps({"peft_type": TYPES[kept], **config}, indent=1), encoding="utf-8")


def _family(kept: Kept, config: Mapping[str, Any]) -> str:
    if kept == "lora":
        return "dora" if config.get("use_dora") else "rslora" if config.get("use_rslora") else "lora"
    return str(config["family"]) if kept == "weights" else kept
