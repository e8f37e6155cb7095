"""One forward step after another for a batch of prompts: the cache, padding and positions. Knows ids, no
text.

A loop of our own rather than transformers' generate(): a step can be stopped, interleaved with another
chat's, given its own random numbers for each row, and finished rows can leave the batch.
"""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers import DynamicCache

PREFILL_TOKENS = 256
"""A long prompt is read in pieces of this size, so that a stop need not wait for all of it."""


class Decoding:
    """The state of a batch: a cache of keys and values, and who is where in it.

    `prompts`: token ids, none empty; several are padded on the left. Not thread-safe; call under
    inference_mode.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        longest = max(len(prompt) for prompt in prompts)
        self._unread = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts])
        self._mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        self._lengths = [len(prompt) for prompt in prompts]
        self._read = 0
        self._cache = DynamicCache(config=cast(Any, model.config))

    @property
    def reading(self) -> bool:
        """Whether a piece of the prompt is still unread after the steps so far."""
        return self._read < self._unread.shape[1]

    def read(self) -> torch.Tensor | None:
        """Read the next piece of the prompts; the last one gives logits, (rows, vocabulary) float32 on the
        CPU.
        """
        # Only one prompt is cut: the padding of a batch could fill a whole piece of some row.
        size = PREFILL_TOKENS if len(self._lengths) == 1 else self._unread.shape[1]
        piece = self._unread[:, self._read : self._read + size]
        end = self._read + piece.shape[1]
        places = (self._mask.cumsum(1) - 1).clamp(min=0)[:, self._read : end]
        self._read = end
        logits = self._forward(piece, self._mask[:, :end], places)
        return None if self.reading else logits

    def step(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Append one token to each row; logits for the next, (rows, vocabulary) float32 on the CPU."""
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], 1)
        places = torch.tensor([[length] for length in self._lengths])
        self._lengths = [length + 1 for length in self._lengths]
        return self._forward(torch.tensor([[token] for token in token_ids]), self._mask, places)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row but these, in this order."""
        self._cache.batch_select_indices(torch.tensor(rows, device=self._device))
        self._mask = self._mask[list(rows)]
        self._lengths = [self._lengths[row] for row in rows]

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        padded = not bool(mask.all())
        output = self._model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device) if padded else None,
            past_key_values=self._cache,
            use_cache=True,
            **optional(self._model, position_ids=places.to(self._device), logits_to_keep=1),
        )
        logits: torch.Tensor = output.logits[:, -1].float().cpu()
        return logits


def optional(model: nn.Module, **arguments: object) -> dict[str, object]:
    """Those of `arguments` that this kind of model takes: not each knows positions, or can skip unwanted
    logits.
    """
    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


def answer_logprobs(model: nn.Module, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """sum log p(answer | prompt) in nats for each (prompt ids, answer ids), in float32.

    Sequences are padded on the left, so that all answers end in one column and logits are computed for the
    answers alone. Call under inference_mode.
    """
    device = next(model.parameters()).device
    whole = [[*prompt, *answer] for prompt, answer in rows]
    longest, answer_longest = max(map(len, whole)), max(len(answer) for _, answer in rows)
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in whole], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in whole], device=device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        use_cache=False,
        **optional(model, position_ids=places, logits_to_keep=answer_longest + 1),
    ).logits[:, -answer_longest - 1 : -1]
    totals = []
    for row, (_, answer) in enumerate(rows):
        scores = logits[row, answer_longest - len(answer) :].float()  # (answer tokens, vocabulary)
        chosen = scores.gather(1, torch.tensor(list(answer), device=device)[:, None])[:, 0]
        totals.append(float((chosen - scores.logsumexp(1)).sum()))
    return totals
