"""One forward step after another for a batch of prompts: the cache, padding and positions. Knows ids, no
text.

A loop of our own rather than transformers' generate(): a step can be stopped, interleaved with another
chat's, given its own random numbers for each row, and finished rows can leave the batch.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from assistant.adapters.attaching import Prefix
from assistant.engines import kv_rows

Forward = Callable[..., Any]
"""A model, called as `torch.nn.Module` is."""

PREFILL_TOKENS = 256
"""A long prompt is read in pieces of this size, so that a stop need not wait for all of it."""


class Decoding:
    """The state of a batch: a cache of keys and values, and who is where in it.

    `prompts`: token ids, none empty; several are padded on the left, and then `joinable` must hold and they
    are read in one piece. `prefix`: what a text begins with, and counts as its first tokens; only one prompt
    may be begun with it. `forward` computes, as the rows' model versions. Not thread-safe; call under
    inference_mode.
    """

    def __init__(
        self, model: nn.Module, prompts: Sequence[Sequence[int]], prefix: Prefix | None = None
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        longest = max(len(prompt) for prompt in prompts)
        self._prompts = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts])
        self._begun = 0 if prefix is None else prefix.tokens
        self._lengths = [self._begun + len(prompt) for prompt in prompts]
        self._columns = self._begun + longest
        self._read = self._begun
        self._cache = kv_rows.new_cache(model.config)
        if prefix is not None:
            prefix.begin(self._cache)

    @property
    def unread(self) -> int:
        """Tokens of the longest prompt that are still to be read."""
        return self._columns - self._read

    @property
    def reading(self) -> bool:
        """Whether a piece of the prompt is still unread after the steps so far."""
        return self.unread > 0

    @property
    def joinable(self) -> bool:
        """Whether rows can join and leave."""
        return kv_rows.joinable(self._cache)

    def wasteful(self, rows: Sequence[int]) -> bool:
        """Whether dropping every row but these is worth copying their part of the cache: about a step."""
        longest = max(self._lengths[row] for row in rows)
        return len(rows) * longest <= len(self._lengths) * self._columns * 3 // 4

    def read(self, forward: Forward) -> torch.Tensor | None:
        """Read the next piece of the prompts; the last one gives logits, (rows, vocabulary) float32 on the
        CPU.
        """
        # Only one prompt is cut: the padding of a batch could fill a whole piece of some row.
        size = PREFILL_TOKENS if len(self._lengths) == 1 else self._columns
        unread = self._prompts[:, self._read - self._begun :]
        piece = unread[:, :size]
        begin, self._read = self._read, self._read + piece.shape[1]
        columns = torch.arange(begin, self._read)
        places = (columns - self._padding()).clamp(min=0)
        logits = self._forward(forward, piece, places)
        return None if self.reading else logits

    def step(self, token_ids: Sequence[int | None], forward: Forward) -> torch.Tensor:
        """Append one token to each row, None to one that nobody wants any more; logits for the next, (rows,
        vocabulary) float32 on the CPU.
        """
        # An unwanted row stays at place 0: it may have come to the end of the model's window.
        places = [0 if t is None else n for t, n in zip(token_ids, self._lengths, strict=True)]
        self._lengths = [length + 1 for length in self._lengths]
        self._columns = self._read = self._columns + 1
        ids = torch.tensor([[token or 0] for token in token_ids])
        return self._forward(forward, ids, torch.tensor([[place] for place in places]))

    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row but these, in this order."""
        self._gather([(self, rows)])

    def join(self, rows: Sequence[int], other: "Decoding", other_rows: Sequence[int]) -> None:
        """Drop every row but these, and take over those of `other`; both have read their prompts."""
        self._gather([(self, rows), (other, other_rows)])

    def _gather(self, taken: "Sequence[tuple[Decoding, Sequence[int]]]") -> None:
        self._lengths = [one._lengths[row] for one, rows in taken for row in rows]
        self._columns = self._read = max(self._lengths)
        kv_rows.gather(self._cache, [(one._cache, rows) for one, rows in taken], self._columns)

    def _padding(self) -> torch.Tensor:
        """Columns before each row begins, (rows, 1)."""
        return self._columns - torch.tensor(self._lengths)[:, None]

    def _forward(self, forward: Forward, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        mask = (torch.arange(self._read) >= self._padding()).long()
        padded = not bool(mask.all())
        output = forward(
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


def answer_logprobs(
    model: nn.Module, rows: Sequence[tuple[Sequence[int], Sequence[int]]], forward: Forward
) -> list[float]:
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
    logits = forward(
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


def prefixed_logprobs(
    model: nn.Module, rows: Sequence[tuple[Sequence[int], Sequence[int]]], prefix: Prefix, forward: Forward
) -> list[float]:
    """`answer_logprobs` of texts that begin with a soft prompt, one text a pass: nothing is padded."""
    device = next(model.parameters()).device
    totals = []
    for prompt, answer in rows:
        cache = kv_rows.new_cache(model.config)
        prefix.begin(cache)
        ids = torch.tensor([[*prompt, *answer]], device=device)
        places = torch.arange(prefix.tokens, prefix.tokens + ids.shape[1], device=device)[None]
        scores = forward(
            input_ids=ids,
            past_key_values=cache,
            use_cache=True,
            **optional(model, position_ids=places, logits_to_keep=len(answer) + 1),
        ).logits[0, -len(answer) - 1 : -1]
        chosen = scores.float().log_softmax(-1).gather(1, ids[0, len(prompt) :, None])
        totals.append(float(chosen.sum()))
    return totals
