"""A language model from nothing, small enough to watch: the architecture of GPT-2 (Radford et al., 2019) on a
file of text, from random weights. Its loss begins at ln V, what guessing among V tokens costs, and falls.

Knows texts and torch; no store. What it makes is a folder, a base like any other.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.errors import HoneError
from training import texts
from training.texts import Modelled

LENGTH = 128
BATCH = 8
RATE = 1e-3
WARMUP_STEPS = 20


@dataclass(frozen=True)
class Size:
    """`width` is the hidden size; each head has 32 numbers."""

    layers: int = 4
    width: int = 128


@dataclass(frozen=True)
class Until:
    """When training ends: after so many seconds, or so many steps if that is sooner (None: no limit)."""

    seconds: float
    steps: int | None = None

    def share(self, seconds: float, steps: int) -> float:
        """How much of it is over, 1 at its end."""
        return max(seconds / self.seconds, steps / self.steps if self.steps else 0.0)


@dataclass(frozen=True)
class Learnt:
    """`guessing` is ln V; `losses`: one a step; the held-out end before and after, None without one."""

    parameters: int
    guessing: float
    losses: tuple[float, ...]
    before: Modelled | None
    after: Modelled | None


def learn(
    documents: list[str],
    tokenizer: Any,
    size: Size,
    until: Until,
    folder: Path,
    on_step: Callable[[int, float], None],
) -> Learnt:
    """Train for so long, then write model and tokenizer to `folder`, whole or not at all.

    HoneError for a folder that is not empty, and for a text of less than one block.
    """
    import torch
    from trl.trainer.utils import add_fused_lm_head

    if folder.exists() and any(folder.iterdir()):
        raise HoneError(f"{folder} is not empty.", "", "Name a new folder.")
    parts = texts.split(documents)
    rows, unseen = (
        texts.blocks(part, lambda text: tokenizer(text)["input_ids"], tokenizer.eos_token_id, LENGTH)
        for part in (parts.train, parts.held_out)
    )
    if len(rows) < 2:
        raise HoneError("There is too little text.", f"{LENGTH} tokens are one block.", "Give more.")
    torch.manual_seed(0)
    model = _fresh(tokenizer, size)
    add_fused_lm_head(model, outputs=("log_probs",))
    held_bytes = sum(len(document.encode()) for document in parts.held_out)
    before = texts.modelled(model, unseen, held_bytes) if unseen else None
    whole = torch.tensor([row.chosen_ids for row in rows if len(row.chosen_ids) == LENGTH])
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    losses: list[float] = []
    began = time.monotonic()
    model.train()
    while not losses or until.share(time.monotonic() - began, len(losses)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (len(losses) + 1) / WARMUP_STEPS)
        ids = whole[torch.randint(len(whole), (BATCH,))]
        loss = model(input_ids=ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        on_step(len(losses), losses[-1])
    after = texts.modelled(model, unseen, held_bytes) if unseen else None
    _write(model, tokenizer, folder)
    count = sum(part.numel() for part in model.parameters())
    return Learnt(count, math.log(len(tokenizer)), tuple(losses), before, after)


def _fresh(tokenizer: Any, size: Size) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=4 * LENGTH, n_embd=size.width, n_layer=size.layers,
            n_head=_heads(size.width), bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def _heads(width: int) -> int:
    """As many as leave each 32 numbers or more, and all the same."""
    return next(count for count in range(max(1, width // 32), 0, -1) if width % count == 0)


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(str(aside))
    tokenizer.save_pretrained(str(aside))
    if folder.exists():
        folder.rmdir()
    aside.rename(folder)
