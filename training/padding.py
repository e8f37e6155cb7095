"""Rows of token ids as one tensor: what is missing is filled up, what is not predicted is labelled so. Knows
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label of a token that is not predicted, as transformers has it."""


def padded(
    rows: Sequence[Sequence[int]], device: Any, fill: int = 0, left: bool = False
) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, (rows, length of the longest) each, filled up at the right, or at the `left`.
    ValueError for no rows.
    """
    import torch

    longest = max(map(len, rows))
    filled = [([fill] * (longest - len(row)), [0] * (longest - len(row))) for row in rows]
    ids = [[*more, *row] if left else [*row, *more] for row, (more, _) in zip(rows, filled, strict=True)]
    real = [
        [*no, *[1] * len(row)] if left else [*[1] * len(row), *no]
        for row, (_, no) in zip(rows, filled, strict=True)
    ]
    return torch.tensor(ids, device=device), torch.tensor(real, device=device)


def labelled(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], device: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and labels, (rows, length) each, of prompts with answers, which are labelled."""
    ids, real = padded([[*prompt, *answer] for prompt, answer in rows], device)
    labels = ids.masked_fill(real == 0, IGNORED)
    for row, (prompt, _) in enumerate(rows):
        labels[row, : len(prompt)] = IGNORED
    return ids, real, labels
