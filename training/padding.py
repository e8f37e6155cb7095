"""Rows of token ids as one tensor: what is missing at the right is filled up. Knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def padded(rows: Sequence[Sequence[int]], device: Any, fill: int = 0) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, (rows, length of the longest) each. ValueError for no rows."""
    import torch

    longest = max(map(len, rows))
    ids = [[*row, *[fill] * (longest - len(row))] for row in rows]
    real = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(real, device=device)
