"""Plain text for the causal LM objective: documents as blocks of tokens, and what a model makes of them. Pure
but for the model that it is given.

The objective is the mean of -log p(token | all before it), in nats (Bengio et al., 2003).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from training.data import Row
from training.padding import labelled

HELD_OUT = 0.1
"""The share of a dataset, its end, that is only measured on."""


@dataclass(frozen=True)
class Split:
    """Documents to train on, and those held out."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def split(documents: Sequence[str]) -> Split:
    """The last tenth is held out: whole documents, or the end of the only one, from a word on."""
    if len(documents) > 1:
        kept = min(len(documents) - 1, max(1, round(len(documents) * (1 - HELD_OUT))))
        return Split(tuple(documents[:kept]), tuple(documents[kept:]))
    words = documents[0].split(" ")
    kept = max(1, round(len(words) * (1 - HELD_OUT)))
    end = " ".join(words[kept:])
    return Split((" ".join(words[:kept]),), (end,) if end else ())


def blocks(
    documents: Sequence[str], encode: Callable[[str], Sequence[int]], end_id: int, length: int
) -> tuple[Row, ...]:
    """Documents one after the other, each with its end token, cut into blocks of `length` tokens (packing).

    No token is padding, and none is lost but a last block of one, which has nothing to predict.
    """
    ids = list(chain.from_iterable([*encode(document), end_id] for document in documents))
    cut = (tuple(ids[begin : begin + length]) for begin in range(0, len(ids), length))
    return tuple(Row((), block, ()) for block in cut if len(block) > 1)


@dataclass(frozen=True)
class Modelled:
    """How well a model predicts a text: nats a token, and bits a byte of UTF-8, which does not depend on how
    the text is cut into tokens.
    """

    nats: float
    bits_per_byte: float

    @property
    def perplexity(self) -> float:
        """exp of the nats a token."""
        return math.exp(self.nats)

    def sentence(self) -> str:
        return (
            f"{self.nats:.3f} nats a token, perplexity {self.perplexity:.1f},"
            f" {self.bits_per_byte:.3f} bits a byte"
        )


MEASURED = 64
"""Blocks of a held-out text, or answers, that are measured on, at most: the first."""


def modelled(model: Any, blocks_of: Sequence[Row], text_bytes: int) -> Modelled:
    """What `model` makes of the blocks of a text, or of answers, of so many bytes. ValueError for none.

    The first token of a block is predicted from nothing, so its nats are not counted, and a prompt's are not
    either. The bytes are taken in proportion to the tokens that are.
    """
    import torch

    rows = blocks_of[:MEASURED]
    counted = sum(len(row.chosen_ids) - (not row.prompt_ids) for row in rows)
    whole = sum(len(row.chosen_ids) for row in blocks_of)
    if not counted:
        raise ValueError("nothing to predict")
    was, nats = model.training, 0.0
    model.eval()
    with torch.inference_mode():
        for row in rows:
            ids, real, labels = labelled([(row.prompt_ids, row.chosen_ids)], model.device)
            said = model(input_ids=ids, attention_mask=real, labels=labels, fused_lm_head=True)
            nats -= float(said.log_probs.sum())
    model.train(was)
    return Modelled(nats / counted, nats / math.log(2) / (text_bytes * counted / whole))
