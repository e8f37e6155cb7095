"""The trunk of a causal language model, and the state of each text's last token in it. Knows no labels.

Rows of like length are read together, with what is missing at the right put there as padding. Attention looks
to the left only, so that no token that counts ever sees the padding, and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant import base as bases
from assistant.base import Base
from feedback.errors import HoneError

if TYPE_CHECKING:
    from torch import Tensor

READ_TOKENS = 2048
"""Tokens that are read at once where nothing is learnt."""
READ_TOKENS_INT8 = 1024
"""The same of a trunk in int8: what bitsandbytes computes it by on a CPU left up to 1.2 GB of holes in the
heap beside 2,048 tokens of the embedded model, next to none beside 1,024 (resident memory of five reads)."""
PADDING = 0
"""Any token will do: see above."""


def load(base: Base, adapter: Path | None = None, *, trainable: bool = False) -> Any:
    """The causal model of `base`, with `adapter` (a folder that PEFT wrote) on it. HoneError for soft
    prompts, which change the input rather than the trunk.
    """
    model = bases.load_model(base)
    if adapter is None:
        return model
    from peft import PeftConfig, PeftModel

    from assistant.adapters import quick_lora

    if PeftConfig.from_pretrained(str(adapter)).is_prompt_learning:
        raise HoneError(
            "This model version cannot carry a classifier.",
            "Its adapter is a soft prompt, which leaves the trunk as it was.",
            "Start from another version.",
        )
    adapted = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    quick_lora.install(adapted)  # so that texts are read as they were while it was trained
    return adapted


def causal_of(model: Any) -> Any:
    """The causal model inside PEFT's wrapper, adapters in place; or itself."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def width(model: Any) -> int:
    """The size of a state."""
    return int(causal_of(model).config.get_text_config().hidden_size)


def last_states(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """(R, width) in float32: the trunk's state at the last token of each row."""
    import torch

    longest = max(len(row) for row in rows)
    device = next(model.parameters()).device
    ids = torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows], device=device)
    ends = torch.tensor([len(row) - 1 for row in rows], device=device)
    # The trunk without the LM head, which would cost more than a layer for each token.
    states = causal_of(model).base_model(input_ids=ids, use_cache=False).last_hidden_state
    found: Tensor = states[torch.arange(len(rows), device=device), ends].float()
    return found


def all_states(
    model: Any, rows: Sequence[Sequence[int]], progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """(R, width) in float32 on the CPU, in the order of `rows`; `progress(rows read, of all)`."""
    import torch

    model.eval()
    found = torch.empty(len(rows), width(model))
    done = 0
    with torch.inference_mode():
        for batch in by_length([len(row) for row in rows], read_tokens(model)):
            found[batch] = last_states(model, [rows[at] for at in batch]).cpu()
            done += len(batch)
            progress(done, len(rows))
    return found


def read_tokens(model: Any) -> int:
    """How many tokens this trunk reads at once."""
    in_int8 = any(type(part).__name__ == "Linear8bitLt" for part in model.modules())
    return READ_TOKENS_INT8 if in_int8 else READ_TOKENS


def by_length(lengths: Sequence[int], tokens: int = READ_TOKENS) -> list[list[int]]:
    """Rows in batches of at most `tokens` tokens, padding included, the longest first; one or more each."""
    batches: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches
