"""Which examples of a dataset a strategy shows, and in which form. Knows strategies and datasets; no model.

A strategy that shows examples is measured with the dataset's own, from its training part: those of a chat say
nothing about labels. They take the place of the answering step's examples; all else stays as the person wrote
it. A dataset without a training part leaves the strategy as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal, get_args

from feedback.canonical import sha256_of
from feedback.errors import HoneError
from prompts.evaluation.items import Dataset, Item
from prompts.examples import Choice, Example, ExamplePool
from prompts.step import FromPool, Step
from prompts.strategy import Strategy

Choosing = Literal["first", "balanced", "nearest", "own"]
"""first: in the order of the file. balanced: each answer equally often. nearest: to the question, by BM25.
own: none of the dataset's, but those that the strategy has."""

CHOOSING: tuple[Choosing, ...] = get_args(Choosing)


@dataclass(frozen=True)
class Picking:
    """Which examples are shown. `shots`, `choose` None: as the strategy says. `draw`: 0 leaves the training
    part in its order, each other number shuffles it in its own way, the same each time.
    """

    shots: int | None = None
    choose: Choosing | None = None
    draw: int = 0


@dataclass(frozen=True)
class Shown:
    """A strategy as it is measured on one dataset.

    `pools`: examples by the group of the item; under "" those of all. `what`: how many of which, for people.
    """

    strategy: Strategy
    pools: dict[str, ExamplePool]
    what: str

    def pool(self, item: Item) -> ExamplePool | None:
        """Where the item's examples come from: its own group where that has any."""
        return self.pools.get(item.group) or self.pools.get("")


class Pinned:
    """The same examples for any question: content-free questions stand where a real one stood."""

    def __init__(self, examples: tuple[Example, ...]) -> None:
        self._examples = examples

    def choose(self, question: str, count: int, how: Choice) -> tuple[Example, ...]:
        return self._examples[:count]


def fit(strategy: Strategy, dataset: Dataset, picking: Picking) -> Shown:
    """`strategy` with examples of `dataset`. Where nobody says, it shows as many as it has of its own, chosen
    as it says, else balanced between the options, else the first. HoneError where it was asked to show what
    there is not.
    """
    step = strategy.steps[-1]
    if "examples" not in step.variables or picking.shots == 0:
        return Shown(_without(strategy) if picking.shots == 0 else strategy, {}, "none")
    if picking.choose == "own":
        return Shown(strategy, {}, f"{len(step.examples)} of its own")
    if not dataset.train or not _can_show(step, dataset.train):
        return _unchanged(strategy, dataset, picking)
    train = dataset.train
    if picking.draw:
        train = tuple(sorted(train, key=lambda item: sha256_of([picking.draw, item.id, item.question])))
    count = picking.shots or (step.pool.count if step.pool else len(step.examples))
    optional = all(item.options for item in train)
    chosen = picking.choose or (step.pool.choose if step.pool else "balanced" if optional else "first")
    how: Choice = "nearest" if chosen == "nearest" else "first"
    fitted = replace(step, examples=(), pool=FromPool(count, how))
    groups = {item.group for item in train} | {""}
    pools = {
        group: _pool([item for item in train if group in ("", item.group)], step, chosen, count)
        for group in groups
    }
    what = f"{count} of the dataset, {chosen}" + (f", draw {picking.draw}" if picking.draw else "")
    return Shown(replace(strategy, steps=(*strategy.steps[:-1], fitted)), pools, what)


def _unchanged(strategy: Strategy, dataset: Dataset, picking: Picking) -> Shown:
    if picking.shots or picking.choose:
        missing = "no training part" if not dataset.train else "no worked answers to show"
        raise HoneError(
            f"{strategy.name} cannot show examples of {dataset.name}.",
            f"The data have {missing}.",
            "Name a training file with --train FORMAT:FILE, or leave out shots and choose.",
        )
    count = len(strategy.steps[-1].examples)
    return Shown(strategy, {}, f"{count} of its own")


def _without(strategy: Strategy) -> Strategy:
    bare = replace(strategy.steps[-1], examples=(), pool=None)
    return replace(strategy, steps=(*strategy.steps[:-1], bare))


def _can_show(step: Step, train: Sequence[Item]) -> bool:
    """A step that thinks before it answers needs examples that do."""
    return step.answer.marker is None or all(item.worked for item in train)


def _pool(items: Sequence[Item], step: Step, chosen: str, count: int) -> ExamplePool:
    ordered = balanced(items, count) if chosen == "balanced" else list(items)
    return ExamplePool([example_of(item, step) for item in ordered])


def example_of(item: Item, step: Step) -> Example:
    """An item as `step` shows examples: with its thoughts, where the step thinks before it answers."""
    if step.answer.marker is None:
        return Example(item.question, item.answer, item.id)
    return Example(item.question, f"{_lead(step)}{item.worked}\n{step.answer.marker} {item.answer}", item.id)


def balanced(items: Sequence[Item], count: int) -> list[Item]:
    """The first `count` hold each answer equally often, in an order that hangs on nothing but their hashes.

    In turn they would teach the turn: after positive, negative, positive, negative a small model says
    positive whatever is asked (measured: SST-2, 200 of 200 items).
    """
    by_answer: dict[str, list[Item]] = {}
    for item in items:
        by_answer.setdefault(item.answer, []).append(item)
    turns = [item for item in chain.from_iterable(zip_longest(*by_answer.values())) if item is not None]
    shown = sorted(turns[:count], key=lambda item: sha256_of([item.id, item.question]))
    return [*shown, *turns[count:]]


def _lead(step: Step) -> str:
    """What all of the step's own examples open with, such as "Thinking: "; "" where they do not."""
    heads = {example.answer.partition(":")[0] for example in step.examples}
    only = next(iter(heads)) if len(heads) == 1 else ""
    return f"{only}: " if only.isalpha() else ""
