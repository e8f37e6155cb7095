"""A version's plain weights: the base's tensors with its changes merged in. Numbers alone; no torch.

Merged is what answers without the adapter beside it: OpenVINO in 8 bits, or a folder that any program loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assistant.adapters import stored
from assistant.adapters.families import MERGED, WHY_NOT_MERGED
from assistant.tensor_files import Array, TensorFiles

Change = Callable[[Array], Array]
"""From a tensor of the base to what it becomes, float32."""

NOT_PLAIN = (
    "modules_to_save",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
)
"""Settings of PEFT's with which an adapter is more than the equations here."""


class Merged:
    """The tensors of a base by name, with a version's changes in them; `adapter` None is the base itself.

    Raises ValueError for an adapter that cannot be merged, or that does not fit.
    """

    def __init__(self, base: TensorFiles, adapter: Path | None) -> None:
        self._base = base
        self._changes: Mapping[str, Change] = {}
        self._whole = TensorFiles([])
        if adapter is None:
            return
        found = stored.read(adapter)
        if found.kept_as not in MERGED:
            raise ValueError(f"It cannot be merged into the weights: {WHY_NOT_MERGED[found.kept_as]}.")
        tensors = TensorFiles([adapter / stored.TENSORS])
        if found.kept_as == "weights":
            self._whole = tensors
        else:
            self._changes = READ[found.kept_as](tensors, found.config)
        unknown = [name for name in self._changes if name not in base and not name.endswith(".bias")]
        unknown += [name for name in self._whole if name not in base and not name.endswith(".bias")]
        if unknown:
            raise ValueError(f"The base has no {unknown[0].removesuffix('.weight')}.")

    @property
    def added(self) -> list[str]:
        """Tensors that the base has not: biases."""
        return [name for name in self._whole if name not in self._base]

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from self.added

    def float32(self, name: str) -> Array:
        """The tensor as the version has it."""
        if name in self._whole:
            return self._whole.float32(name)
        tensor = self._base.float32(name)
        change = self._changes.get(name)
        return tensor if change is None else change(tensor)


def _read_lora(tensors: TensorFiles, config: Mapping[str, Any]) -> dict[str, Change]:
    """LoRA: W + s B A (Hu et al. 2021, eq. 3); DoRA: that, each row brought to its learnt length (Liu et al.
    2024, eq. 5).
    """
    unlike = [key for key in NOT_PLAIN if config.get(key)]
    if unlike or config.get("bias", "none") != "none":
        raise ValueError(f"It is no plain LoRA ({', '.join(unlike) or 'bias'}), and cannot be merged.")
    found: dict[str, Change] = {}
    for name in tensors:
        stem, here, _ = name.partition(".lora_A.")
        if not here:
            if ".lora_B." not in name and ".lora_magnitude_vector" not in name:
                raise ValueError(f"Its tensor {name} is not understood.")
            continue
        down, up = tensors.float32(name), tensors.float32(name.replace(".lora_A.", ".lora_B."))
        alpha = float(_own(config.get("alpha_pattern"), stem, config["lora_alpha"]))
        rank = len(down)
        scaled = alpha / (rank**0.5 if config.get("use_rslora") else rank) * up
        lengths = next((n for n in tensors if n.startswith(f"{stem}.lora_magnitude_vector")), None)
        found[_weight(stem)] = _added(
            scaled,
            down,
            None if lengths is None else tensors.float32(lengths),
            bool(config.get("fan_in_fan_out")),
        )
    return found


def _added(up: Array, down: Array, lengths: Array | None, transposed: bool) -> Change:
    """`up`: (out, rank), scaled; `down`: (rank, in); `lengths`: (out,). A base that keeps (in, out) is turned
    for it and back. Their product is as large as the base's own matrix: it is made for one at a time.
    """

    def change(tensor: Array) -> Array:
        whole = (tensor.T if transposed else tensor) + up @ down
        if lengths is not None:
            whole = whole * (lengths.reshape(-1, 1) / np.linalg.norm(whole, axis=1, keepdims=True))
        return whole.T if transposed else whole

    return change


def _read_ia3(tensors: TensorFiles, config: Mapping[str, Any]) -> dict[str, Change]:
    """IA3, Liu et al. 2022, section 3.3: factors (out, 1) of what a layer gives, (1, in) of what it reads."""
    if config.get("modules_to_save"):
        raise ValueError("It trained whole modules beside its factors, and cannot be merged.")
    turned = bool(config.get("fan_in_fan_out"))
    found: dict[str, Change] = {}
    for name in tensors:
        stem, factors = name.removesuffix(".ia3_l"), tensors.float32(name)
        found[_weight(stem)] = _scaled(factors.T if turned else factors)
        if factors.shape[1] == 1:  # of what the layer gives, and its bias is part of that
            found[_weight(stem).removesuffix("weight") + "bias"] = _scaled(factors[:, 0])
    return found


def _scaled(factors: Array) -> Change:
    return lambda tensor: tensor * factors


READ: dict[str, Callable[[TensorFiles, Mapping[str, Any]], dict[str, Change]]] = {
    "lora": _read_lora,
    "ia3": _read_ia3,
}


def _weight(stem: str) -> str:
    return f"{stem.removeprefix('base_model.model.')}.weight"


def _own(patterns: Mapping[str, float] | None, stem: str, otherwise: float) -> float:
    return next((value for key, value in (patterns or {}).items() if stem.endswith(key)), otherwise)
