"""Pools of examples for few-shot prompts, made from what people judged. Knows the store, no model.

Asked at each turn: whether anything changed is one number in the store, so an unchanged pool costs nothing.
"""

import threading
from collections import OrderedDict

from feedback import good_answers
from feedback.evidence import Evidence
from feedback.ids import UserId
from feedback.store import Store
from prompts.examples import Example, ExamplePool
from prompts.strategy import Strategy

MOST_POOLS = 64
"""People whose pools are kept at a time; the longest unused goes first."""


class ExamplePools:
    """Each person's pool, kept until a judgement changes. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._number = -1
        self._evidence: Evidence | None = None
        self._pools: OrderedDict[UserId, ExamplePool] = OrderedDict()

    def of(self, person: UserId, strategy: Strategy) -> ExamplePool | None:
        """What a prompt of `person` may show by the rule of `feedback.good_answers`; None when no step of
        `strategy` takes examples from a pool.
        """
        if not any(step.pool for step in strategy.steps):
            return None
        with self._lock:  # two turns at once make one pool
            number = good_answers.changes(self._store)
            if number != self._number or self._evidence is None:
                self._number, self._evidence = number, good_answers.read(self._store)
                self._pools.clear()
            if person not in self._pools:
                found = good_answers.from_store(self._store, self._evidence, person)
                self._pools[person] = ExamplePool(
                    [Example(one.question, one.answer, one.source) for one in found]
                )
                while len(self._pools) > MOST_POOLS:
                    self._pools.popitem(last=False)
            self._pools.move_to_end(person)
            return self._pools[person]
