"""Training what PEFT has no family for: chosen layers, biases, norms, everything, bottlenecks.

What is trained is kept in float32 beside a base in 16 bits, which computes with its rounded copy: steps
smaller than 16 bits can hold would be lost. (PEFT's layer-norm tuning trains in 16 bits.) Knows torch and the
files of a version; no trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from assistant.adapters import bottleneck, stored
from assistant.adapters.families import FAMILIES
from training.recipes import LAYERS

Place = tuple[nn.Module, str]
"""A module, and the name of its parameter."""


@dataclass(frozen=True)
class OwnChange:
    """What is trained, by the name it is kept under. `computed_in`: torch's name of that number type."""

    family: str
    trained: Mapping[str, nn.Parameter]
    computed_in: str

    def write(self, folder: Path) -> None:
        """As a version keeps it: new values under the base's names, or the networks."""
        kept = FAMILIES[self.family].kept_as
        config = {"family": self.family, "computed_in": self.computed_in}
        stored.write(folder, kept, config, self.trained)

    def read(self, folder: Path) -> None:
        """Go on from what was written. ValueError when it is not of the same parts."""
        from safetensors.torch import load_file

        found = load_file(folder / stored.TENSORS)
        if found.keys() != self.trained.keys():
            raise ValueError("What was trained before is of other parts of the model.")
        with torch.no_grad():
            for name, tensor in found.items():
                self.trained[name].copy_(tensor)


def of_weights(model: Any, family: str, layers: str) -> OwnChange:
    """Let `family` be trained, and nothing else. ValueError when the model has none of it."""
    model.requires_grad_(False)
    places = dict(PLACES[family](model, layers))
    if not places:
        raise ValueError(f"A {type(model).__name__} has nothing that is called {family}.")
    computed_in = str(model.dtype).removeprefix("torch.")
    return OwnChange(family, {name: _trained(*place) for name, place in places.items()}, computed_in)


def of_bottlenecks(model: Any, size: int) -> OwnChange:
    """Put a network of `size` after each sub-layer, and train these."""
    model.requires_grad_(False)
    trained: dict[str, nn.Parameter] = {}
    for name, module in bottleneck.ends(model).items():
        weight: Any = module.weight
        width = weight.shape[1] if type(module).__name__ == "Conv1D" else weight.shape[0]
        network = bottleneck.Bottleneck(int(width), size).to(weight.device)
        module.add_module("bottleneck", network)  # the trainer finds what it trains among the model's parts
        module.register_forward_hook(bottleneck.after(network))
        trained |= {f"{name}.{key}": parameter for key, parameter in network.named_parameters()}
    return OwnChange("bottleneck", trained, "float32")


class _Rounded(nn.Module):
    """What computes is the float32 that trains, in the base's number type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, master: Tensor) -> Tensor:
        return master.to(self.dtype)


def _trained(module: nn.Module, leaf: str) -> nn.Parameter:
    parameter = module._parameters[leaf]
    assert parameter is not None
    if parameter.dtype == torch.float32:
        parameter.requires_grad_(True)
        return parameter
    parametrize.register_parametrization(module, leaf, _Rounded(parameter.dtype), unsafe=True)
    computed: Any = getattr(module.parametrizations, leaf)
    computed.original = nn.Parameter(parameter.detach().float())
    master: nn.Parameter = computed.original
    return master


def _everything(model: nn.Module, _: str) -> Iterator[tuple[str, Place]]:
    for name, parameter in model.named_parameters():  # tied weights once
        if parameter.dtype != torch.float32:
            raise ValueError("Every weight is trained in float32 alone.")
        path, _dot, leaf = name.rpartition(".")
        yield name, (model.get_submodule(path), leaf)


def _biases(model: nn.Module, _: str) -> Iterator[tuple[str, Place]]:
    for path, module in _inner(model):
        weight = module._parameters.get("weight")
        if weight is None or isinstance(module, nn.Embedding):
            continue
        if isinstance(module, nn.Linear) and module.bias is None:
            module.bias = nn.Parameter(weight.new_zeros(module.out_features))
        if module._parameters.get("bias") is not None:
            yield f"{path}.bias", (module, "bias")


def _norms(model: nn.Module, _: str) -> Iterator[tuple[str, Place]]:
    for path, module in _inner(model):
        if "norm" in type(module).__name__.lower():
            yield from _own(path, module)


def _layers(model: nn.Module, layers: str) -> Iterator[tuple[str, Place]]:
    path, stack = _stack(model)
    for number in chosen_layers(layers, len(stack)):
        for inner, module in stack[number].named_modules():
            yield from _own(".".join(filter(None, (path, str(number), inner))), module)


def chosen_layers(layers: str, count: int) -> list[int]:
    """The numbers, from 0, that `layers` names among `count`. ValueError when some are not there."""
    told = LAYERS.fullmatch(layers)
    if told is None:
        raise ValueError(f"{layers!r} names no layers: write last-2, first-4 or 0,5,11.")
    if told[1]:
        size = int(told[2])
        wanted = list(range(size) if told[1] == "first" else range(count - size, count))
    else:
        wanted = sorted({int(one) for one in layers.split(",")})
    if not wanted or not all(0 <= one < count for one in wanted):
        raise ValueError(f"The model has the layers 0 to {count - 1}, and {layers} asks for others.")
    return wanted


PLACES: dict[str, Callable[[nn.Module, str], Iterator[tuple[str, Place]]]] = {
    "full": _everything,
    "bias": _biases,
    "layer-norm": _norms,
    "layers": _layers,
}


def _own(path: str, module: nn.Module) -> Iterator[tuple[str, Place]]:
    for leaf, parameter in module._parameters.items():
        if parameter is not None:
            yield f"{path}.{leaf}", (module, leaf)


def _inner(model: Any) -> list[tuple[str, nn.Module]]:
    """Every part but the head, which stays as it is: a trained one would cost a pass over the vocabulary."""
    head = model.get_output_embeddings()
    return [(path, module) for path, module in model.named_modules() if path and module is not head]


def _stack(model: Any) -> tuple[str, nn.ModuleList]:
    """The model's layers: its longest list of modules."""
    lists = [(path, part) for path, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    if not lists:
        raise ValueError(f"A {type(model).__name__} has no list of layers.")
    return max(lists, key=lambda one: len(one[1]))
