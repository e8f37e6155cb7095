"""What to change so that a run fits, the least harmful change first. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from training.memory.formulas import Estimate, estimate
from training.memory.plan import Plan, sized
from training.memory.shape import Shape

SHORTEST = 128
"""Tokens below which an example is hardly one: no shorter length is proposed."""
SMALLEST_BATCH = {"kto": 2}
"""Of methods that need more than one: KTO's KL is over a batch."""

Steps = tuple[Callable[[Plan], Iterator[tuple[str, str, Plan]]], ...]
"""Kinds of changes: each yields what to do and what it costs, in words, and the plan after it."""


@dataclass(frozen=True)
class Change:
    """`parts`: what to do, and what one loses by it, in a few words each; several go together."""

    parts: tuple[tuple[str, str], ...]
    plan: Plan
    estimate: Estimate

    @property
    def words(self) -> str:
        return " and ".join(what for what, _ in self.parts)

    @property
    def costs(self) -> str:
        return "; ".join(dict.fromkeys(lost for _, lost in self.parts))


def smallest(shape: Shape, plan: Plan, free_bytes: int, steps: Steps | None = None) -> Change | None:
    """The least harmful change after which the run takes at most `free_bytes`; None where none is enough.

    One change is tried before several together: first those that leave the numbers as they are (a smaller
    batch with accumulation, checkpointing), then those that touch precision, then those that train less, then
    those that read less. `steps`: the kinds of changes that may be made.
    """
    for change in changes(shape, plan, steps):
        if change.estimate.peak_bytes <= free_bytes:
            return change
    return None


def changes(shape: Shape, plan: Plan, steps: Steps | None = None) -> Iterator[Change]:
    """Every single change in the order of harm, then the changes heaped upon each other in that order."""
    steps = STEPS if steps is None else steps
    if plan.adapt == "frozen":  # nothing is trained that a batch or an optimiser would be for
        steps = tuple(step for step in steps if step in (_bf16, _shorter))
    for step in steps:
        for words, costs, changed in step(plan):
            yield Change(((words, costs),), changed, estimate(shape, changed))
    parts: tuple[tuple[str, str], ...] = ()
    for step in steps:
        tried = list(step(plan))
        if not tried:
            continue
        words, costs, plan = tried[-1]
        parts = (*parts, (words, costs))
        yield Change(parts, plan, estimate(shape, plan))


def _smaller_batch(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    batch = plan.batch
    while batch // 2 >= SMALLEST_BATCH.get(plan.method, 1):
        batch //= 2
        if plan.method == "rlhf" and batch % plan.answers:
            return  # a batch holds whole groups of answers
        if plan.method == "classify":  # which steps at each batch
            smaller = sized(plan, batch, plan.length, plan.prompt)
            yield f"batch {batch}", "some speed; it makes more and smaller steps", smaller
            continue
        times = -(-plan.batch * plan.accumulation // batch)
        smaller = sized(replace(plan, accumulation=times), batch, plan.length, plan.prompt)
        yield f"batch {batch} with accumulation {times}", "some speed, no accuracy", smaller


def _checkpointing(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if not plan.checkpointing:
        yield "gradient checkpointing", "a third of the speed, no accuracy", replace(plan, checkpointing=True)


def _eight_bit_optimiser(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if plan.optimiser == "adamw":
        yield "the optimiser adamw-8bit", "hardly any accuracy", replace(plan, optimiser="adamw-8bit")


def _bf16(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if plan.precision != "bf16":
        yield "precision bf16", "digits of each number", replace(plan, precision="bf16")


def _lora(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if plan.adapt == "full":
        less = sized(replace(plan, adapt="lora", head="tiled"), plan.batch, plan.length, plan.prompt)
        yield "LoRA in place of all weights (adapt lora)", "some of what training can change", less


def _qlora(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if plan.adapt in ("full", "lora", "int8"):
        less = sized(replace(plan, adapt="qlora", head="tiled"), plan.batch, plan.length, plan.prompt)
        yield "QLoRA (quantize nf4)", "speed, and digits of the frozen weights", less


def _frozen(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    if plan.method == "classify" and plan.adapt != "frozen":
        less = sized(replace(plan, adapt="frozen"), plan.batch, plan.length, plan.prompt)
        yield "a frozen trunk (adapt frozen)", "what the trunk would learn", less


def _shorter(plan: Plan) -> Iterator[tuple[str, str, Plan]]:
    length = plan.length
    while length // 2 >= SHORTEST:
        length //= 2
        prompt = plan.prompt * length // max(1, plan.length)
        yield f"length {length}", "all examples that are longer", sized(plan, plan.batch, length, prompt)


STEPS: Steps = (
    _smaller_batch,
    _checkpointing,
    _eight_bit_optimiser,
    _bf16,
    _lora,
    _qlora,
    _frozen,
    _shorter,
)
RUNS: Steps = (_smaller_batch, _lora, _qlora, _frozen, _shorter)
"""What a recipe can say: Hone's runs have one optimiser, no checkpointing, and the base's own numbers."""
