"""A loaded model as a version, for the length of a forward pass: what PEFT does not carry beside LoRA.

PEFT keeps adapters of one kind in a model at a time, while champion and candidate may be of two. So only LoRA
is left to it; here weights are put in place by reference, factors and bottlenecks work through hooks, and a
soft prompt is keys and values that a text begins with. Knows torch and a version's folder; no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from assistant.adapters import bottleneck, stored
from assistant.adapters.rounding import as_trained
from assistant.adapters.stored import Stored

Hook = Callable[[nn.Module], Any]
"""Puts a hook on a module; gives its handle."""


@dataclass(frozen=True)
class Attached:
    """What a version puts into a model: `tensors` by the base's names, and `hooks` by module."""

    tensors: Mapping[str, Tensor]
    hooks: Mapping[str, Hook]

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """The model is the version meanwhile."""
        undo: list[Callable[[], object]] = []
        try:
            for name, tensor in self.tensors.items():
                undo.append(_put(model, name, tensor))
            for name, hook in self.hooks.items():
                undo.append(hook(model.get_submodule(name)).remove)
            yield
        finally:
            for step in reversed(undo):
                step()


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a soft prompt, one pair a layer, each (1, heads, `tokens`, size)."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    tokens: int

    def begin(self, cache: Any) -> None:
        """Let an empty cache begin with it."""
        for number, (keys, values) in enumerate(self.layers):
            cache.update(keys.clone(), values.clone(), number)


def attach(model: nn.Module, folder: Path) -> Attached:
    """What the version in `folder` puts into `model`. ValueError: it does not fit. Not for soft prompts."""
    found, tensors = stored.read(folder), _tensors(folder)
    parameters = dict(model.named_parameters())
    if found.kept_as == "weights":
        for name in tensors:
            module, leaf = _owner(model, name)
            here = module._parameters.get(leaf)
            if (here is None and leaf != "bias") or (here is not None and here.shape != tensors[name].shape):
                raise ValueError(f"The base has no {name} of this shape.")
        like = next(iter(parameters.values()))
        computed_in = found.config.get("computed_in")
        parts = {name: as_trained(part, like.dtype, computed_in) for name, part in tensors.items()}
        return Attached({name: part.to(like.device) for name, part in parts.items()}, {})
    if found.kept_as == "ia3":
        return Attached({}, _fitting(model, _factors(tensors)))
    if found.kept_as == "bottleneck":
        device = next(iter(parameters.values())).device
        networks = bottleneck.from_tensors(tensors)
        hooks = {name: _after(network.to(device).eval()) for name, network in networks.items()}
        return Attached({}, _fitting(model, hooks))
    raise ValueError(f"What is kept as {found.kept_as} is not put into a model.")


def prefix(model: nn.Module, folder: Path, cache: Any) -> Prefix:
    """What texts of the version in `folder` begin with; `cache`: an empty one of the model's kind. Call it as
    the base, under inference_mode.
    """
    found, tensors = stored.read(folder), _tensors(folder)
    learnt = _like(tensors["prompt_embeddings"], next(model.parameters()))
    if found.kept_as == "prefix":
        return Prefix(_pairs(learnt, found), found.virtual_tokens)
    model(inputs_embeds=learnt[None], past_key_values=cache, use_cache=True)
    return Prefix(tuple((layer.keys, layer.values) for layer in cache.layers), found.virtual_tokens)


def _pairs(learnt: Tensor, found: Stored) -> tuple[tuple[Tensor, Tensor], ...]:
    """PEFT's row of a virtual token, layer by layer a key and a value of all heads, as one pair a layer."""
    layers, heads = int(found.config["num_layers"]), int(found.config["num_attention_heads"])
    apart = learnt.view(found.virtual_tokens, layers, 2, heads, -1).permute(1, 2, 3, 0, 4)
    return tuple((one[0][None].contiguous(), one[1][None].contiguous()) for one in apart)


def _tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(folder / stored.TENSORS))


def _like(tensor: Tensor, other: Tensor) -> Tensor:
    return tensor.to(device=other.device, dtype=other.dtype)


def _fitting(model: nn.Module, hooks: Mapping[str, Hook]) -> Mapping[str, Hook]:
    known = {name for name, _ in model.named_modules()}
    unknown = [name for name in hooks if name not in known]
    if unknown:
        raise ValueError(f"The base has no {unknown[0]}.")
    return hooks


def _factors(tensors: Mapping[str, Tensor]) -> dict[str, Hook]:
    """IA3 (Liu et al. 2022): factors (1, in) of what a module reads, or (out, 1) of what it gives."""
    found: dict[str, Hook] = {}
    for name, factors in tensors.items():
        module = name.removesuffix(".ia3_l").removeprefix("base_model.model.")
        found[module] = _of_input(factors[0]) if factors.shape[0] == 1 else _of_output(factors[:, 0])
    return found


def _of_input(factors: Tensor) -> Hook:
    def hook(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        x = given[0]
        return ((x.float() * factors.to(x.device)).to(x.dtype), *given[1:])

    return lambda module: module.register_forward_pre_hook(hook)


def _of_output(factors: Tensor) -> Hook:
    def hook(_: nn.Module, _given: Any, y: Tensor) -> Tensor:
        return (y.float() * factors.to(y.device)).to(y.dtype)

    return lambda module: module.register_forward_hook(hook)


def _after(network: bottleneck.Bottleneck) -> Hook:
    return lambda module: module.register_forward_hook(bottleneck.after(network))


def _put(model: nn.Module, name: str, tensor: Tensor) -> Callable[[], object]:
    """Put a tensor in place of a parameter, by reference; gives what puts the old one back."""
    module, leaf = _owner(model, name)
    parameter = module._parameters.get(leaf)
    if parameter is None:
        module._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
        return lambda: module._parameters.__setitem__(leaf, None)
    before, parameter.data = parameter.data, tensor  # tied weights are one parameter, and change together
    return lambda: setattr(parameter, "data", before)


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a tensor of the base, under whatever PEFT has put around it."""
    path, _, leaf = name.rpartition(".")
    try:
        module = model.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"The base has no {path}.") from error
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module, leaf
