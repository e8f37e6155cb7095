"""Answers scored at the price of their own tokens: prompts computed once, no padding, no logits kept.

TRL's trainers ask a model for the log-probabilities of labelled tokens (`model(..., labels=...,
fused_lm_head=True)`). Here that call takes another way to the same numbers:

- Rows that begin with the same unlabelled tokens share them: chosen and rejected, or the many completions of
  one prompt. Each answer attends to the prompt and to itself (a tree, as in Miao et al., 2024, SpecInfer).
  What all prompts of a batch begin with, a system message or worked examples, is computed once for all (the
  stem).
- All rows lie in one sequence, so that nothing is padded; attention is computed tree by tree.
- Only positions before a label reach the LM head, in tiles; a frozen head's gradient is found in the same
  pass (as in Liger Kernel, Hsu et al., 2024), so that no logits are kept or computed twice. What follows the
  head's product is done for a few positions at a time, which a core's cache holds.

Knows torch, transformers and that call of TRL's; no recipe and no store.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from trl.trainer.utils import FusedCausalLMOutput

from training.memory.formulas import TILE
from training.padding import IGNORED

TREE = "shared_prompts"
FEWEST_SHARED = 4
"""Rows share a beginning of so many tokens or more."""
SHORTEST_STEM = 16
"""Prompts share a beginning of so many tokens or more: its keys and values are copied for each."""
LINES = 8
"""Positions of a tile whose logits are in float32 at a time."""


@dataclass(frozen=True)
class Tree:
    """One prompt and its answers, side by side: tokens [begin, end) of the packed sequence.

    `stem`: how many tokens at the pack's beginning it sees beside its own. `mask`: (length, stem + length),
    True where a token sees another; None where all is plainly causal, as in the stem itself.
    """

    begin: int
    end: int
    stem: int
    mask: Tensor | None


@dataclass(frozen=True)
class Packed:
    """Rows as trees. `ids`, `positions`: (1, N). `labels`: (M,). `sources`: (M,), the token that each is
    predicted from. `rows`, `columns`: (M,), where each stands among the shifted labels, (R, T - 1). `ends`:
    the last token of each row by the row's number; a row that was left out has none.
    """

    ids: Tensor
    positions: Tensor
    trees: tuple[Tree, ...]
    labels: Tensor
    sources: Tensor
    rows: Tensor
    columns: Tensor
    ends: dict[int, int]


def pack(input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor) -> Packed:
    """Rows (R, T), padded on either side, as trees. A row without a label that counts is left out.

    The first token of a row is predicted from nothing: its label never counts, as in the shifted loss.
    """
    seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    families: dict[tuple[tuple[int, ...], int], list[_Row]] = {}
    for number, (ids, known, wanted) in enumerate(
        zip(input_ids.tolist(), seen.tolist(), labels.tolist(), strict=True)
    ):
        row = _row(number, ids, known, wanted)
        if row.first is not None:
            alone = row.first < FEWEST_SHARED  # sharing so little costs more in the mask than it spares
            families.setdefault((tuple(row.ids[: row.first]), number if alone else -1), []).append(row)
    return _laid_out([(list(prompt), rows) for (prompt, _), rows in families.items()], input_ids.device)


@dataclass(frozen=True)
class _Row:
    """The real tokens of a row, their columns and labels. `first`: the first label that counts."""

    number: int
    ids: list[int]
    columns: list[int]
    labels: list[int]

    @functools.cached_property
    def first(self) -> int | None:
        return next((at for at in range(1, len(self.ids)) if self.labels[at] != IGNORED), None)


def _row(number: int, ids: list[int], known: list[int], labels: list[int]) -> _Row:
    columns = [column for column, real in enumerate(known) if real]
    return _Row(number, [ids[at] for at in columns], columns, [labels[at] for at in columns])


def _laid_out(families: Sequence[tuple[list[int], list[_Row]]], device: torch.device) -> Packed:
    stem = _stem([prompt for prompt, _ in families])
    ids = families[0][0][:stem] if stem else []
    positions = list(range(stem))
    labelled: list[tuple[int, int, int, int]] = []  # label, source, row, column
    trees, ends = [Tree(0, stem, 0, None)] if stem else [], dict[int, int]()
    for prompt, members in families:
        begin, shared = len(ids), len(prompt)
        ids += prompt[stem:]
        positions += range(stem, shared)
        for row in members:
            own = len(ids) - shared  # so that a token's place in its row, plus this, is its place in the pack
            for at in range(shared, len(row.ids)):
                if row.labels[at] != IGNORED:
                    source = begin + shared - stem - 1 if at == shared else own + at - 1
                    labelled.append((row.labels[at], source, row.number, row.columns[at] - 1))
            ids += row.ids[shared:]
            ends[row.number] = len(ids) - 1
            positions += range(shared, len(row.ids))
        lengths = [len(row.ids) - shared for row in members]
        trees.append(Tree(begin, len(ids), stem, _mask(stem, shared - stem, lengths, device)))
    labels, sources, rows, columns = torch.tensor(labelled, device=device).reshape(-1, 4).unbind(1)
    return Packed(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        tuple(trees),
        labels,
        sources,
        rows,
        columns,
        ends,
    )


def _stem(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts of a pack begin with; 0 for too few. Each prompt keeps one of its own, from
    which its answers begin.
    """
    if len(prompts) < 2:
        return 0
    most = min(map(len, prompts)) - 1
    first, last = min(prompts), max(prompts)  # if these two agree so far, then so do all between
    shared = next((at for at in range(most) if first[at] != last[at]), most)
    return shared if shared >= SHORTEST_STEM else 0


def _mask(stem: int, shared: int, lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """Which token of a tree sees which: the stem, the prompt, and its own answer up to itself."""
    if len(lengths) == 1 and not stem:
        return None
    branch = torch.repeat_interleave(
        torch.arange(len(lengths) + 1, device=device), torch.tensor([shared, *lengths], device=device)
    )
    causal = torch.ones(len(branch), len(branch), dtype=torch.bool, device=device).tril()
    own = causal & ((branch[None, :] == 0) | (branch[None, :] == branch[:, None]))
    return torch.cat([own.new_ones(len(branch), stem), own], dim=1)


def _added(mask: Tensor | None, groups: int, dtype: torch.dtype) -> Tensor | None:
    """A tree's mask as numbers to be added to scores, with a line for each of a token's queries that share a
    head of keys. Made once: each layer would make and keep its own of one that says True or False.
    """
    if mask is None:
        return None
    made = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
    return made.repeat_interleave(groups, dim=0)


def _attend(  # noqa: PLR0913, PLR0917 - as transformers calls it
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    trees: tuple[Tree, ...] = (),
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention within each tree. query: (1, heads, N, size); key, value: (1, heads of keys, N, size)."""
    if not trees:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **rest)
    lengths = [tree.end - tree.begin for tree in trees]
    # Split, not sliced: the gradient of each slice would be as long as the whole, nearly all of it nought.
    queries, keys, values = (part.split(lengths, dim=2) for part in (query, key, value))
    found = [
        _attend_in(
            tree.mask,
            q,
            torch.cat([keys[0], k], dim=2) if tree.stem else k,
            torch.cat([values[0], v], dim=2) if tree.stem else v,
            dropout_p=dropout,
            scale=scaling,
        )
        for tree, q, k, v in zip(trees, queries, keys, values, strict=True)
    ]
    return torch.cat(found, dim=1), None


def _attend_in(mask: Tensor | None, query: Tensor, key: Tensor, value: Tensor, **settings: Any) -> Tensor:
    """Attention in one tree, (1, its tokens, heads, size). Under a mask, a token's queries that share a head
    of keys are computed as queries of several tokens, in fewer and larger products.
    """
    attend = functional.scaled_dot_product_attention
    _, heads, count, size = query.shape
    groups = heads // key.shape[1]
    if mask is None:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
        return attend(query, key, value, is_causal=True, **settings).transpose(1, 2)
    apart = query.view(1, -1, groups, count, size).transpose(2, 3)
    found = attend(apart.reshape(1, -1, count * groups, size), key, value, attn_mask=mask, **settings)
    together = found.view(1, -1, count, groups, size).transpose(1, 2)
    return together.reshape(1, count, heads, size)


AttentionInterface.register(TREE, _attend)


@contextmanager
def _attending(config: Any) -> Iterator[None]:
    """Attention by trees while the block runs."""
    before = config._attn_implementation
    config._attn_implementation = TREE
    try:
        yield
    finally:
        config._attn_implementation = before


def _read(  # noqa: PLR0913 - one line of each of what is found
    lines: Tensor,
    labels: Tensor,
    logprobs: Tensor,
    entropies: Tensor,
    means: Tensor,
    first: Tensor,
    *,
    into_slopes: bool,
) -> None:
    """Write what logits, (positions, vocabulary), say of their labels, (positions,), and if asked, in their
    own place, the slope of log p by each: 1 for the label, less its share.
    """
    logits, target = lines.float(), labels[:, None]
    said, best = logits.gather(-1, target), logits.amax(-1, keepdim=True)
    shares = logits.softmax(-1)
    # ln of the sum of exp: from the largest, whose share is too large to be rounded away.
    whole = best - shares.amax(-1, keepdim=True).log()
    torch.sub(said, whole, out=logprobs[:, None])
    entropies.copy_(whole[:, 0] - torch.linalg.vecdot(shares, logits))
    means.copy_(logits.mean(-1))
    first.copy_((said == best)[:, 0])
    if into_slopes:
        lines.copy_(shares.neg_().scatter_add_(-1, target, shares.new_ones(target.shape)))


class _Scored(torch.autograd.Function):
    """Log-probabilities under a frozen LM head; their gradients by the hidden states are found beside."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """hidden: (M, size), weight: (vocabulary, size), labels: (M,). Returns, each (M,): log p of the
        label, the entropy in nats, the mean logit, and whether no token is likelier than the label.
        """
        count = len(labels)
        logprobs, entropies, means = (hidden.new_empty(count, dtype=torch.float32) for _ in range(3))
        first = torch.empty(count, dtype=torch.bool, device=hidden.device)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        height = max(LINES, TILE // (len(weight) * weight.element_size()))
        few = LINES if hidden.device.type == "cpu" else height
        for begin in range(0, count, height):
            part = slice(begin, begin + height)
            tile = functional.linear(hidden[part], weight, bias)
            told = (found[part].split(few) for found in (labels, logprobs, entropies, means, first))
            for lines, *rest in zip(tile.split(few), *told, strict=True):
                _read(lines, *rest, into_slopes=slopes is not None)
            if slopes is not None:
                slopes[part] = tile @ weight
        if slopes is not None:
            ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(entropies, means, first)
        return logprobs, entropies, means, first

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * upstream[0][:, None].to(slopes.dtype), None, None, None


_INSTALLED: WeakSet[torch.nn.Module] = WeakSet()


def install(model: Any) -> None:
    """Let the model of a TRL trainer score answers this way, once TRL has given it its own. Twice is once.

    Whatever this way does not cover takes TRL's: soft prompts, batches that TRL packed itself, mixtures of
    experts, a head that is trained or scales its logits, models whose attention cannot be replaced. Raises
    nothing: `covers` says it.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    others = base.forward
    if base in _INSTALLED or base.get_output_embeddings() is None:
        return
    _INSTALLED.add(base)

    @functools.wraps(type(base).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **named: Any) -> Any:
        if not fused_lm_head or args or not covers(self, named):
            return others(*args, fused_lm_head=fused_lm_head, **named)
        packed = pack(named["input_ids"], named.get("attention_mask"), named["labels"])
        if not packed.trees:  # nothing is labelled
            return others(fused_lm_head=True, **named)
        return _scored(self, packed, named["labels"], named.get("num_items_in_batch"))

    base.forward = types.MethodType(forward, base)


COVERED = frozenset(("input_ids", "attention_mask", "labels", "use_cache", "num_items_in_batch"))
SCALES = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
)


def covers(model: Any, named: dict[str, Any]) -> bool:
    """Whether a call with these arguments can be computed here."""
    config = model.config.get_text_config()
    return (
        {name for name, value in named.items() if value is not None} <= COVERED
        and named.get("input_ids") is not None
        and packs(model)
        and not any(getattr(config, name, None) for name in SCALES)
        and not any(part.requires_grad for part in model.get_output_embeddings().parameters())
    )


def packs(model: Any) -> bool:
    """Whether the model's attention can be computed tree by tree."""
    return (
        model.config._attn_implementation == "sdpa"
        and bool(getattr(model, "_supports_attention_backend", False))
        and not getattr(model.config.get_text_config(), "sliding_window", None)
    )


def states(model: Any, packed: Packed) -> Tensor:
    """The trunk's last hidden states of packed rows, (N, size)."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    groups = heads // (getattr(config, "num_key_value_heads", None) or heads)
    trees = tuple(replace(tree, mask=_added(tree.mask, groups, model.dtype)) for tree in packed.trees)
    with _attending(model.config):
        out = model.base_model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            # Of four dimensions, so that it is taken as ready made; the trees say who sees whom.
            attention_mask=torch.zeros(1, 1, 1, 1, device=packed.ids.device),
            use_cache=False,
            trees=trees,
        )
    found: Tensor = out.last_hidden_state[0]
    return found


def _scored(model: Any, packed: Packed, labels: Tensor, total: Any) -> FusedCausalLMOutput:
    """What TRL's fused head returns for rows with these labels, (R, T). `total`: labels of the batch."""
    hidden = states(model, packed)[packed.sources]
    head = model.get_output_embeddings()
    found = _Scored.apply(hidden, head.weight, getattr(head, "bias", None), packed.labels)
    places = (packed.rows, packed.columns)
    mask = labels[:, 1:] != IGNORED
    logprobs, entropy, means, first = (part.new_zeros(mask.shape).index_put(places, part) for part in found)
    loss = -found[0].sum() / (len(packed.labels) if total is None else total)
    return FusedCausalLMOutput(
        loss=loss, log_probs=logprobs, entropy=entropy, mean_logits=means, is_top1=first, label_mask=mask
    )
