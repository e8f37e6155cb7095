"""The base model: which weights, on which device, in which precision, and why. Knows no adapter and no chat.

`resolve` decides and says so; `load_model` and `load_tokenizer` open what it chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Quantize = Literal["auto", "nf4", "int8", "none"]


@dataclass(frozen=True)
class BaseChoice:
    """What a person asked for. `model` is `embedded`, a folder, or a Hub id such as `org/name`."""

    model: str = "embedded"
    quantize: Quantize = "auto"


@dataclass(frozen=True)
class Base:
    """What was chosen. `id` names the weights themselves: two bases with one id give the same numbers.

    `dtype` is torch's name for it (`bfloat16`), `quantization` what is applied while loading (`none`, `nf4`, `int8`),
    `device` `cpu` or `cuda`, and `why` one sentence for people.
    """

    id: str
    title: str
    folder: Path
    dtype: str
    quantization: str
    device: str
    why: str
