"""What is going to be trained, as far as memory hangs on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from training import rules
from training.classify.model import READ_TOKENS, READ_TOKENS_INT8
from training.memory.shape import Shape

if TYPE_CHECKING:
    from training.data import Row
    from training.recipes import Recipe

Method = Literal["clm", "sft", "dpo", "kto", "reward", "rlhf", "classify"]
Adapt = Literal["full", "lora", "qlora", "int8", "frozen", "other"]
Precision = Literal["fp32", "bf16", "mixed"]
Optimiser = Literal["adamw", "adamw-8bit", "sgd"]
Head = Literal["tiled", "whole"]
Trunk = Literal["none", "nf4", "int8"]
METHODS, ADAPTS, PRECISIONS, OPTIMISERS, TRUNKS = (
    get_args(kind) for kind in (Method, Adapt, Precision, Optimiser, Trunk)
)

BY_BASE: dict[str, Adapt] = {"nf4": "qlora", "int8": "int8"}
"""What LoRA is on a base that was quantised so."""
BITS: dict[str, Trunk] = {adapt: cast(Trunk, how) for how, adapt in BY_BASE.items()}
"""How the base is quantised beside which these train."""
SIDES = {"dpo": 2, "reward": 2}
"""Rows that one example makes; one where nothing stands here."""
SHARES_PROMPT = ("dpo", "reward", "rlhf")
"""Methods for which training.shared_prompts computes a prompt once for all its answers."""
HEAP_HOLES = 0.35
"""On a CPU: the share of activations and logits that glibc's heap holds beside, in holes that no later tensor
fits. Measured on the embedded model, on rows of like length with the heap given back after each batch: 0.18
and 0.27 (sft, 400 and 800 tokens), 0.24 (dpo), 0.27 (kto), 0.29 (NF4), 0.42 and 0.40 (rlhf). Maps of their
own would spare it, but cost 0.8 times the computing again in page faults."""

TEXTS = 2_000
"""Texts that a frozen trunk is read for, where nothing is said of them."""

HEADLESS = ("reward", "classify")
"""Methods with a head of a few numbers in place of the vocabulary."""


@dataclass(frozen=True)
class Load:
    """The largest batch that is computed at once.

    `rows` sequences of together `tokens` tokens, of which `labelled` reach the LM head. `squares`: the sum of
    the squared lengths of what attends to itself. `masked`: the part of it under a mask of its own.
    """

    rows: int
    tokens: int
    labelled: int
    squares: int
    masked: int = 0

    @property
    def longest(self) -> int:
        return round((self.squares / max(1, self.rows)) ** 0.5)


def load(method: Method, batch: int, length: int, prompt: int, shared: bool) -> Load:
    """Of `batch` examples of `length` tokens a side, `prompt` of them before the answer. For `rlhf`'s own
    answers see `written`.
    """
    prompt = 0 if method == "clm" else min(prompt, length - 1)
    sides = SIDES.get(method, 1)
    labelled = 0 if method in HEADLESS else batch * sides * (length - prompt)
    if shared and method in SHARES_PROMPT:
        one = prompt + sides * (length - prompt)
        return Load(batch, batch * one, labelled, batch * one**2, batch * one**2)
    return Load(batch * sides, batch * sides * length, labelled, batch * sides * length**2)


def written(batch: int, accumulation: int, answers: int, prompts: Sequence[int], answer: int) -> Load:
    """Of `batch` answers of `answer` tokens to prompts of these lengths, each answered `answers` times.

    TRL writes the answers of a whole step at once and shuffles them before it cuts the step into batches, so
    that a batch holds answers to as many of the step's prompts as there are, up to one each. How many of them
    fall to one prompt, and so how wide its mask is, is chance: all of them are counted.
    """
    asked = max(1, min(batch, -(-batch * accumulation // answers)))
    longest = sorted(prompts, reverse=True)[:asked]
    longest += longest[:1] * (asked - len(longest))
    squares = sum((prompt + answer * min(batch, answers)) ** 2 for prompt in longest)
    return Load(asked, sum(longest) + answer * batch, batch * answer, squares, squares)


@dataclass(frozen=True)
class Plan:
    """A run. `head`: `tiled` is training.shared_prompts' way, in which a frozen LM head sees the answers'
    tokens alone, a few at a time; `whole` keeps the logits of all tokens, as transformers' own loss does.

    `trainable`: how many numbers an adaptation other than the named ones trains, for a shape. `device`: cpu
    or cuda. `answers`: to one prompt, of which `rlhf` writes `batch` times `accumulation` at once, scored by
    a reward model where it is `rewarded`. `cuda_build`: torch is built for CUDA, whatever computes. `holes`:
    see HEAP_HOLES; 0 counts tensors alone. `texts`: of a classifier on a frozen trunk, whose states are kept.
    `trunk`: how that one is quantised; what trains beside a quantised base says so by `adapt`.
    """

    load: Load
    method: Method = "sft"
    adapt: Adapt = "lora"
    rank: int = 16
    trainable: Callable[[Shape], int] | None = None
    precision: Precision = "bf16"
    optimiser: Optimiser = "adamw"
    accumulation: int = 1
    checkpointing: bool = False
    head: Head = "tiled"
    device: str = "cpu"
    batch: int = 1
    length: int = 512
    prompt: int = 0
    answers: int = 4
    rewarded: bool = True
    texts: int = TEXTS
    trunk: Trunk = "none"
    cuda_build: bool = False
    holes: float = HEAP_HOLES

    @property
    def quantized(self) -> Trunk:
        """How the base's matrices are kept, whatever is trained."""
        return BITS.get(self.adapt, self.trunk)


def make(
    method: Method = "sft", batch: int = 1, length: int = 512, prompt: int | None = None, **rest: Any
) -> Plan:
    """A plan with the load that follows from it. `prompt`: half the length where nothing is said. The LM head
    is whole where it is trained, for only a frozen one can be tiled.
    """
    asked = length // 2 if prompt is None else prompt
    head = "whole" if rest.get("adapt") == "full" else "tiled"
    made = Plan(Load(0, 0, 0, 0), method=method, **({"head": head} | rest))
    return sized(made, batch, length, asked)


def sized(plan: Plan, batch: int, length: int, prompt: int) -> Plan:
    """The same with another batch or length. A frozen trunk reads as many texts at once as make so many
    tokens, whatever the batch.
    """
    if plan.adapt == "frozen":
        at_once = READ_TOKENS_INT8 if plan.trunk == "int8" else READ_TOKENS
        rows, tokens = max(1, at_once // length), max(at_once, length)
        found = Load(rows, tokens, 0, tokens * length)
        return replace(plan, load=found, batch=batch, length=length, prompt=prompt)
    if plan.method == "rlhf" and plan.head == "tiled":
        before = min(prompt, length - 1)
        found = written(batch, plan.accumulation, plan.answers, [before], length - before)
        return replace(plan, load=found, batch=batch, length=length, prompt=prompt)
    found = load(plan.method, batch, length, prompt, plan.head == "tiled")
    return replace(plan, load=found, batch=batch, length=length, prompt=prompt)


def precision_of(dtype: str) -> Precision:
    """By torch's name of the numbers that a base computes in."""
    return "fp32" if dtype == "float32" else "bf16"


def of_recipe(recipe: Recipe, precision: Precision, quantization: str, device: str) -> Plan:
    """What a recipe trains at most: a full batch of examples as long as it allows."""
    # The others keep about what LoRA does: what they train is small beside what a step computes.
    adapt: Adapt = BY_BASE.get(quantization, "lora")
    if recipe.adapt in ("full", "frozen"):
        adapt = cast(Adapt, recipe.adapt)
    online = recipe.method == "rlhf"
    if recipe.method == "classify" and adapt == "full" and precision == "bf16":
        precision = "mixed"  # its weights are in fp32, whatever multiplies them
    return make(
        cast(Method, recipe.method),
        recipe.batch,
        recipe.max_length,
        max(0, recipe.max_length - recipe.answer_tokens) if online else None,
        answers=recipe.answers,
        rewarded=online and not recipe.reward.startswith(rules.PREFIX),
        adapt=adapt,
        trunk=cast(Trunk, quantization) if adapt == "frozen" else "none",
        rank=recipe.lora_rank,
        precision=precision,
        accumulation=recipe.accumulation,
        device=device,
        cuda_build=built_for_cuda(),
    )


def built_for_cuda() -> bool:
    """Whether the torch that is installed here brings CUDA's libraries, which a CPU's run loads as well."""
    return find_spec("nvidia") is not None


def of_rows(plan: Plan, rows: Sequence[Row]) -> Plan:
    """The same with these rows as its largest batch; of `rlhf`, whose batches TRL draws, with the longest of
    these rows in it.
    """
    longest = sorted(rows, key=lambda row: -row.tokens)[: plan.batch]
    if not longest or plan.adapt == "frozen":
        return plan
    if plan.method == "rlhf":
        answer = plan.length - plan.prompt
        prompts = [row.tokens for row in longest]
        found = written(plan.batch, plan.accumulation, plan.answers, prompts, answer)
        return replace(plan, load=found, length=prompts[0] + answer, prompt=prompts[0])
    sizes = [row.read_tokens for row in longest]
    squares = sum(size**2 for size in sizes)
    answers = sum(len(r.chosen_ids) + len(r.rejected_ids) for r in longest)
    masked = squares if plan.method in SHARES_PROMPT else 0
    found = Load(len(longest), sum(sizes), answers, squares, masked)
    return replace(plan, load=found, length=longest[0].tokens, prompt=len(longest[0].prompt_ids))
