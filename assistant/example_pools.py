"""Pools of examples for few-shot prompts, made from what people judged. Knows the store, no model.

Asked at each turn: whether anything changed is one number in the store, so an unchanged pool costs nothing.
"""

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from feedback import good_answers
from feedback.evidence import Evidence
from feedback.ids import UserId
from feedback.store import Store
from prompts.examples import Choice, Example, ExamplePool, Examples
from prompts.strategy import Strategy

log = logging.getLogger(__name__)

MOST_POOLS = 64
"""People whose pools are kept at a time; the longest unused goes first."""

QUICK_S = 0.1
"""A pool that was made within this time is made anew at once when something has changed. A larger one is made
beside the turn, which goes on with the one there is (5,000 votes took about a second on 2 cores).
"""


@dataclass(frozen=True)
class _Kept:
    """A pool as it was when the store's number of changes was this; `took_s`: what it took to make."""

    number: int
    pool: ExamplePool
    took_s: float


class ExamplePools:
    """Each person's pool, kept until a judgement changes. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[UserId, _Kept] = OrderedDict()
        self._evidence: tuple[int, Evidence] | None = None
        self._refreshing: threading.Thread | None = None
        self._lock = threading.Lock()  # around the above
        self._making = threading.Lock()  # one pool is made at a time

    def of(self, person: UserId, strategy: Strategy) -> Examples | None:
        """What a prompt of `person` may show by the rule of `feedback.good_answers`; None when no step of
        `strategy` takes examples from a pool.

        What was withdrawn or deleted is never shown again; of a large store, what is new may come some
        seconds later.
        """
        if not any(step.pool for step in strategy.steps):
            return None
        number = good_answers.changes(self._store)
        with self._lock:
            kept = self._kept.get(person)
        if kept is None or (kept.number != number and kept.took_s < QUICK_S):
            return self._make(person).pool
        if kept.number == number:
            return kept.pool
        self._refresh(person)
        return _StillFit(self._store, kept.pool)

    def _make(self, person: UserId) -> _Kept:
        with self._making:
            number = good_answers.changes(self._store)
            with self._lock:
                kept = self._kept.get(person)
            if kept is not None and kept.number == number:
                return kept  # by another turn, meanwhile
            started = time.monotonic()
            if self._evidence is None or self._evidence[0] != number:
                self._evidence = (number, good_answers.read(self._store))
            found = good_answers.from_store(self._store, self._evidence[1], person)
            pool = ExamplePool([Example(one.question, one.answer, one.source) for one in found])
            pool.index()  # here, beside the turns, and within the time that is taken
            kept = _Kept(number, pool, time.monotonic() - started)
            with self._lock:
                self._kept[person] = kept
                self._kept.move_to_end(person)
                while len(self._kept) > MOST_POOLS:
                    self._kept.popitem(last=False)
            return kept

    def _refresh(self, person: UserId) -> None:
        """Make the pool anew beside the turns, one thread at a time; whoever asks next sees it."""
        with self._lock:
            if self._refreshing is None:
                self._refreshing = threading.Thread(
                    target=self._work, args=(person,), name="hone-examples", daemon=True
                )
                self._refreshing.start()

    def _work(self, person: UserId) -> None:
        try:
            self._make(person)
        except Exception:  # the thread's edge: the pool that is there goes on being used
            log.exception("the pool of examples could not be made anew")
        finally:
            self._store.release()
            with self._lock:
                self._refreshing = None


@dataclass(frozen=True)
class _StillFit:
    """A pool that is about to be replaced: of what it chooses, what was withdrawn or deleted is left out."""

    store: Store
    pool: ExamplePool

    def choose(self, question: str, count: int, how: Choice) -> tuple[Example, ...]:
        chosen = self.pool.choose(question, count, how)
        fit = good_answers.still_fit(self.store, [example.source for example in chosen])
        return tuple(example for example in chosen if example.source in fit)
