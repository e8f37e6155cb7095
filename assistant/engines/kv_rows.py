"""Keys and values of texts that are computed side by side on torch: rows join and leave. Knows no ids.

A row's columns end where everybody's end, so the distance between two tokens of a text is that of their
columns whoever stands beside it; what is missing on the left is zeros, which the mask hides.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

ROOM = 64
"""Columns kept free, so that a token is written into its place. The library's layer copies the whole cache
for each token instead: a third of a step with 16 rows of 500 tokens.
"""


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, (rows, heads, columns, size), as views into tensors with room to grow."""

    _room: tuple[torch.Tensor, torch.Tensor]

    def hold(
        self, keys: torch.Tensor, values: torch.Tensor, columns: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hold the first `columns` of these, which have the room; gives what is held."""
        self._room = keys, values
        held = keys[:, :, :columns], values[:, :, :columns]
        self.keys, self.values = held
        return held

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `DynamicLayer.update`."""
        new = key_states, value_states
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if self.keys is None or self.values is None:
            self.lazy_initialization(*new)
            self._room = _stacked([key_states], end, ROOM), _stacked([value_states], end, ROOM)
        elif end > self._room[0].shape[-2]:
            room = end - used + ROOM
            self._room = _stacked([self.keys], used, room), _stacked([self.values], used, room)
        for place, states in zip(self._room, new, strict=True):
            place[:, :, used:end] = states
        return self.hold(*self._room, end)


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this kind."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def joinable(cache: DynamicCache) -> bool:
    """Whether `gather` knows every kind of layer in it. Recurrent states and the like it does not."""
    known = (RoomyLayer, DynamicSlidingWindowLayer, DummyLayer)
    return all(type(layer) in known for layer in cache.layers)


def gather(cache: DynamicCache, taken: Sequence[tuple[DynamicCache, Sequence[int]]], columns: int) -> None:
    """Make `cache` hold these rows of these caches, of which it may be one, in this order.

    `columns`: the tokens of the longest text among them.
    """
    for number, layer in enumerate(cache.layers):
        if isinstance(layer, DummyLayer):  # it reads another layer's
            continue
        sides: list[tuple[Any, list[int]]] = [(one.layers[number], list(rows)) for one, rows in taken]
        if isinstance(layer, DynamicSlidingWindowLayer):
            width = min(columns, layer.sliding_window - 1)
            layer.keys = _stacked([side.keys[rows, :, -width:] for side, rows in sides], width, 0)
            layer.values = _stacked([side.values[rows, :, -width:] for side, rows in sides], width, 0)
            layer.cumulative_length = columns
        elif isinstance(layer, RoomyLayer):
            keys = _stacked([side.keys[rows, :, -columns:] for side, rows in sides], columns, ROOM)
            values = _stacked([side.values[rows, :, -columns:] for side, rows in sides], columns, ROOM)
            layer.hold(keys, values, columns)


def _stacked(parts: Sequence[torch.Tensor], width: int, room: int) -> torch.Tensor:
    """Rows below each other, each ending at column `width`, and `room` columns after that. Zeros elsewhere:
    what is masked is still multiplied, and not every number times zero is zero.
    """
    first = parts[0]
    rows = sum(len(part) for part in parts)
    whole = first.new_zeros(rows, first.shape[1], width + room, first.shape[3])
    at = 0
    for part in parts:
        whole[at : at + len(part), :, width - part.shape[2] : width] = part
        at += len(part)
    return whole
