"""Candidates: what a search may change of a strategy, and the neighbours of what it has. Pure.

A search changes data, never a template: the instruction and the examples of the step that answers. Whatever
it finds is a file that a person can read, and differs from where it began in these two keys alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from feedback.errors import HoneError
from prompts.examples import Example
from prompts.frontmatter import with_values
from prompts.source import MOST_EXAMPLES
from prompts.strategy import Strategy, parse

SIZES = (4, 8, 16)
"""Examples in a draw; the number that the start has is one more."""


@dataclass(frozen=True)
class Start:
    """A strategy that a search begins from. `label`: for people."""

    label: str
    strategy: Strategy

    @property
    def takes_instruction(self) -> bool:
        return "instruction" in self.strategy.steps[-1].variables

    @property
    def takes_examples(self) -> bool:
        return "examples" in self.strategy.steps[-1].variables


@dataclass(frozen=True)
class Candidate:
    """One point of the search. `how`: what it came of, in words. It is itself, however it came about."""

    start: Start
    instruction: str
    examples: tuple[Example, ...]
    how: str

    @property
    def key(self) -> tuple[str, str, tuple[Example, ...]]:
        """Equal for candidates that put every question alike."""
        return self.start.label, self.instruction, self.examples

    def strategy(self, name: str) -> Strategy:
        """The candidate as a strategy called `name`: just what is measured, kept and served."""
        own = self.start.strategy
        last = own.steps[-1]
        key = f"{own.name}.jinja" if len(own.steps) == 1 else f"{last.name}.jinja"
        files = dict(own.files)
        changes: dict[str, object] = {}
        if self.start.takes_instruction and self.instruction != last.instruction:
            changes["instruction"] = self.instruction or None
        if self.start.takes_examples and self.examples != last.examples:
            changes["examples"] = [{"question": one.question, "answer": one.answer} for one in self.examples]
        text = files.pop(key)
        renamed = f"{name}.jinja" if len(own.steps) == 1 else key
        return parse(name, {**files, renamed: with_values(text, changes) if changes else text})


def first(start: Start) -> Candidate:
    """The start as it is. HoneError for one with nothing to search."""
    step = start.strategy.steps[-1]
    if not start.takes_instruction and not start.takes_examples:
        raise HoneError(
            f"There is nothing to search in {start.label}.",
            "The step that answers declares neither `instruction` nor `examples`.",
            "Begin from few-shot, or declare one of them (docs/prompts.md).",
        )
    return Candidate(start, step.instruction, step.examples, "the start")


def drawn(base: Candidate, pool: Sequence[Example], chance: random.Random, sizes: Sequence[int]) -> Candidate:
    """Other examples, each answer about equally often, in any order."""
    size = min(chance.choice(sizes), len(pool), MOST_EXAMPLES)
    by_answer: dict[str, list[Example]] = {}
    for example in chance.sample(pool, len(pool)):
        by_answer.setdefault(example.answer, []).append(example)
    # Free answers are all different, so that each draw is just a sample.
    rows = list(by_answer.values())
    chance.shuffle(rows)
    turns = [row[turn] for turn in range(max(map(len, rows))) for row in rows if turn < len(row)]
    shown = turns[:size]
    chance.shuffle(shown)
    return replace(base, examples=tuple(shown), how=f"{size} examples drawn")


def instructed(base: Candidate, instruction: str, how: str) -> Candidate:
    return replace(base, instruction=instruction, how=how)


def neighbour(base: Candidate, pool: Sequence[Example], chance: random.Random) -> Candidate:
    """One step away in the examples: one or two exchanged, put in another order, one more or one fewer."""
    shown = list(base.examples)
    fresh = [one for one in chance.sample(pool, len(pool)) if one not in shown]
    move = chance.choice(("one exchanged", "two exchanged", "put in another order", "one more", "one fewer"))
    if move == "put in another order":
        chance.shuffle(shown)
    elif move == "one fewer" and len(shown) > 1:
        shown.pop(chance.randrange(len(shown)))
    elif move == "one more" and len(shown) < MOST_EXAMPLES:
        shown[(at := chance.randrange(len(shown) + 1)) : at] = fresh[:1]
    else:
        for _ in range(2 if move == "two exchanged" else 1):
            _exchange(shown, fresh, chance)
    return replace(base, examples=tuple(shown), how=f"examples: {move}")


def _exchange(shown: list[Example], fresh: list[Example], chance: random.Random) -> None:
    """One example for a fresh one, with the same answer where there is one: the balance stays."""
    if not shown or not fresh:
        return
    place = chance.randrange(len(shown))
    new = next((one for one in fresh if one.answer == shown[place].answer), fresh[0])
    fresh.remove(new)
    shown[place] = new


def crossed(one: Candidate, other: Candidate) -> Candidate:
    """The examples of one under the instruction of another of the same start."""
    return replace(one, instruction=other.instruction, how="instruction of another")
