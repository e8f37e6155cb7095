"""The search: generations of candidates, each a race, each bred from the best of the one before.

Knows data, a model and strategies; no store, no page. Everything is drawn from one seed and every answer is
kept, so that the same search, after a kill, asks nothing twice and goes on to the same end.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from feedback.canonical import sha256_of
from feedback.errors import HoneError
from prompts.evaluation import matrix
from prompts.evaluation.asking import Asking, Clock
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Column, How, Outcome
from prompts.evaluation.items import Dataset, Item
from prompts.evaluation.model import Model
from prompts.evaluation.shown import balanced, example_of
from prompts.examples import Example
from prompts.search import candidates, race, writing
from prompts.search.candidates import SIZES, Candidate, Start
from prompts.search.race import Placed
from prompts.search.writing import Writer

GENERATIONS = 3
FIRST_ITEMS, MOST_ITEMS = 16, 256
"""Of the first rung of a race, and of its last. Few are enough to part what leans to one answer from the
rest: more candidates are worth more than surer first rungs.
"""
INDUCED = 4
"""Instructions that the model finds at the beginning, each from other examples."""
PARENTS = 4
"""Candidates of one generation that the next is bred from."""
POOL = 400
"""Training items that examples may come from; all others are there to score by."""
FEWEST_SCORED = 16
TIES = 0.01
"""What the mean probability of the right option counts beside the share of right answers: it parts candidates
that few items cannot."""

Tell = Callable[[str, int, int], None]
"""Called as (what is done now, questions asked, questions in all: as many as budget and time allow)."""

Ended = Literal["the questions were spent", "the time was spent"]


@dataclass(frozen=True)
class Material:
    """A dataset parted so that nothing proves what it was found on.

    `pool`: shown as examples. `scored`: decides between candidates. `held`: the evidence, asked once, at the
    end.
    """

    pool: tuple[Item, ...]
    scored: Dataset
    held: Dataset


def parted(dataset: Dataset, most_held: int | None = None) -> Material:
    """With a training part: that is searched on, and the items prove. Without: every other item proves.

    The parts hang on the items' hashes, not on their order. HoneError for too little to search on.
    """
    ordered = sorted(dataset.items, key=lambda item: sha256_of(["part", item.id, item.question]))
    training = list(dataset.train) or ordered[::2]
    held = dataset if dataset.train else replace(dataset, items=tuple(ordered[1::2]))
    training.sort(key=lambda item: sha256_of(["search", item.id, item.question]))
    # Half, so that a small set leaves something to score by.
    pool, scored = training[: min(POOL, len(training) // 2)], training[min(POOL, len(training) // 2) :]
    if len(scored) < FEWEST_SCORED:
        raise HoneError(
            f"{dataset.name} has too little to search on.",
            f"{len(training)} training items leave {len(scored)} to score by; {FEWEST_SCORED} are needed.",
            "Name more with --train, or more data.",
        )
    # In turn, so that a prompt that always says the same is no better than chance on any rung.
    turns = balanced(scored, 0)
    # Their own training part stays with them: calibration by training asks its questions.
    return Material(
        tuple(pool),
        replace(dataset, items=tuple(turns), train=tuple(pool)),
        replace(held, train=tuple(pool)).limited(most_held),
    )


@dataclass(frozen=True)
class Budget:
    """What a search may spend: questions asked of the model about scored items, and seconds in all."""

    questions: int = 4000
    seconds: float = 900.0


@dataclass(frozen=True)
class Found:
    """What came of a search. `placed`: all candidates, the best first."""

    best: Candidate
    placed: tuple[Placed[Candidate], ...]
    questions: int
    seconds: float
    ended_by: Ended


@dataclass
class Search:
    """One search. `how`: the way questions are asked, also later. `calls`: where answers are kept."""

    starts: Sequence[Start]
    material: Material
    how: How
    model: Model
    calls: Calls
    budget: Budget
    seed: int = 0
    tell: Tell | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.how = replace(self.how, examples=replace(self.how.examples, choose="own"))
        self._chance = random.Random(self.seed)
        self._writer = Writer(Asking(self.model, self.calls, Clock(), self.stop), self.seed)
        self._pools = {start.label: self._examples(start) for start in self.starts}
        self._outcomes: dict[tuple[object, ...], list[Outcome]] = {}
        self._known: dict[tuple[object, ...], Candidate] = {}
        self._asked = 0
        self._began = time.monotonic()
        self._ended_by: Ended | None = None

    def run(self) -> Found:
        """The best that the budget allows. CancelledError when `stop` was set; HoneError for bad starts."""
        parents = [candidates.first(start) for start in self.starts]
        for generation in range(GENERATIONS):
            most = min(MOST_ITEMS, len(self.material.scored.items))
            runners = self._bred(parents, generation, self._places(generation, most))
            placed = race.halve(runners, min(FIRST_ITEMS, most), most, self._score)
            parents = [one.runner for one in placed[:PARENTS]]
            if self._ended_by:
                break
        # Of all generations: one that was cut short knows less than those before it.
        standing = self._standing()
        return Found(
            best=standing[0].runner,
            placed=tuple(standing),
            questions=self._asked,
            seconds=time.monotonic() - self._began,
            ended_by=self._ended_by or "the questions were spent",
        )

    def _places(self, generation: int, most: int) -> int:
        """Runners that this generation's share of the questions left can pay for."""
        share = (self.budget.questions - self._asked) // (GENERATIONS - generation)
        places = len(self.starts) + PARENTS
        while race.cost(places + 1, min(FIRST_ITEMS, most), most) <= share:
            places += 1
        return places

    def _bred(self, parents: Sequence[Candidate], generation: int, places: int) -> list[Candidate]:
        """The parents, and as many different others as there are places for."""
        runners = {one.key: one for one in parents}
        instructions = self._instructions(parents, generation)
        tries = 0
        while len(runners) < places and tries < 20 * places:
            base = parents[tries % len(parents)]
            one = self._child(base, instructions, generation)
            runners.setdefault(one.key, one)
            tries += 1
        self._known |= {key: one for key, one in runners.items() if key not in self._known}
        return [self._known[key] for key in runners]

    def _child(self, base: Candidate, instructions: dict[str, str], generation: int) -> Candidate:
        """What is new: first draws and first instructions, later small steps from the best."""
        chance, start = self._chance, base.start
        pool = self._pools[start.label]
        child = base
        if start.takes_examples and pool:
            fresh = generation == 0 or chance.random() < 1 / PARENTS
            sizes = {*SIZES, len(base.examples) or SIZES[0]}
            child = (
                candidates.drawn(base, pool, chance, sorted(sizes))
                if fresh
                else candidates.neighbour(base, pool, chance)
            )
        if start.takes_instruction and instructions and (child is base or chance.random() < 1 / 2):
            said = chance.choice(sorted(instructions))
            how = instructions[said] if child is base else f"{child.how}, {instructions[said]}"
            child = candidates.instructed(child, said, how)
        return child

    def _instructions(self, parents: Sequence[Candidate], generation: int) -> dict[str, str]:
        """New instructions, and how each came about. The model writes them, but for the one that any choice
        can be given.
        """
        if not any(start.takes_instruction for start in self.starts):
            return {}
        found: dict[str, str] = {}
        if generation == 0:
            plain = [Example(item.question, item.answer) for item in self.material.pool]
            sets = [self._chance.sample(plain, min(writing.SHOWN, len(plain))) for _ in range(INDUCED)]
            found |= dict.fromkeys(self._writer.induced(sets), "instruction induced from examples")
            options = self.material.scored.items[0].options
            found[writing.from_options(options)] = "instruction naming the options"
        said = [one.instruction for one in parents if one.instruction]
        found |= dict.fromkeys(self._writer.reworded(said), "instruction reworded")
        if generation:
            wrong = [(one.instruction, writing.failures(self._outcomes.get(one.key, ()))) for one in parents]
            better = self._writer.criticised([one for one in wrong if one[1]])
            found |= dict.fromkeys(better, "instruction rewritten after a criticism")
        found |= dict.fromkeys(said, "instruction of another")
        return {instruction: how for instruction, how in found.items() if instruction}

    def _examples(self, start: Start) -> list[Example]:
        """The pool as this start's step shows examples."""
        step = start.strategy.steps[-1]
        return [
            example_of(item, step) for item in self.material.pool if not step.answer.marker or item.worked
        ]

    def _score(self, runner: Candidate, items: int) -> float | None:
        """See `race.halve`. None when questions or time are spent."""
        known = self._outcomes.setdefault(runner.key, [])
        missing = self.material.scored.items[len(known) : items]
        if self._asked + len(missing) > self.budget.questions:
            self._ended_by = "the questions were spent"
            return None
        if missing and time.monotonic() - self._began > self.budget.seconds:
            self._ended_by = "the time was spent"
            return None
        if missing:
            known += self._ask(runner, missing)
        return score(known[:items])

    def _ask(self, runner: Candidate, items: Sequence[Item]) -> list[Outcome]:
        strategy = runner.strategy(runner.start.strategy.name)
        column = Column(runner.how, "", strategy, self.how, self.model)
        works = matrix.plan([column], [replace(self.material.scored, items=tuple(items))])
        cell = matrix.run(works, self.calls, None, self.stop)[0]
        self._asked += len(items)
        if self.tell is not None:
            self.tell("Searching", self._asked, self._in_all())
        return list(cell.outcomes)

    def _in_all(self) -> int:
        """Questions that will have been asked at the end, at the pace so far."""
        timely = self._asked * self.budget.seconds / (time.monotonic() - self._began)
        return max(self._asked, min(self.budget.questions, int(timely)))

    def _standing(self) -> list[Placed[Candidate]]:
        """Every candidate that was scored, those on most items first, and of these the best."""
        found = [
            Placed(self._known[key], len(outcomes), score(outcomes))
            for key, outcomes in self._outcomes.items()
            if outcomes
        ]
        return race.ranked(found)


def score(outcomes: Sequence[Outcome]) -> float:
    """The share of right answers, 0 to 1; an item that could not be put or judged is wrong. Where options
    were compared, the mean probability of the right one counts a little beside.
    """
    right = sum(outcome.value or 0.0 for outcome in outcomes) / len(outcomes)
    sure = sum(dict(outcome.shares).get(outcome.gold, 0.0) for outcome in outcomes) / len(outcomes)
    return right + TIES * sure
