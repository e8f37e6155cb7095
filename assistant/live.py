"""A reply while it is being written: its state in memory, and the way to watch it.

Knows no store, engine or page.

One writer (the reply's turn), any number of readers. A reader is given whole states, not deltas: whoever
comes late, or comes again after a reload, sees everything so far at once and cannot miss a piece.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from assistant.engines.interface import Completion
from assistant.reply_state import ReplyState
from feedback.errors import HoneError
from feedback.ids import MessageId


@dataclass
class LiveReply:
    """The state of one reply in progress, guarded by a condition, and its stop button.

    `completion` and `failure` are there once it is finished: what the engine said of the answer, or the
    mistake that kept it from being written. `chosen_because`: as in ReplyState.
    """

    reply_id: MessageId
    stop: threading.Event = field(default_factory=threading.Event)
    completion: Completion | None = None
    failure: HoneError | None = None
    chosen_because: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _revision: int = 0
    _listeners: tuple[Callable[[], None], ...] = ()

    def __post_init__(self) -> None:
        self._state = ReplyState(self.reply_id, "writing", chosen_because=self.chosen_because)

    @property
    def state(self) -> ReplyState:
        return self._state

    def update(self, state: ReplyState) -> None:
        """Show `state` to everyone who watches. A finished reply stays as it is."""
        with self._changed:
            if not self.state.finished:
                self._state, self._revision = state, self._revision + 1
                self._changed.notify_all()
        for tell in self._listeners:
            tell()

    def change(self, **fields: object) -> None:
        """`update` with some fields of the present state replaced."""
        self.update(replace(self.state, **fields))  # type: ignore[arg-type]

    def watch(self) -> Iterator[ReplyState]:
        """The state now, then each newer one, until the reply is finished. Blocks between them."""
        seen = -1
        while True:
            with self._changed:
                while self._revision == seen:
                    self._changed.wait()
                seen, state = self._revision, self.state
            yield state
            if state.finished:
                return

    def listen(self, tell: Callable[[], None]) -> None:
        """Call `tell` after each change from now on, in the writer's thread: quick, and without raising."""
        with self._changed:
            self._listeners = (*self._listeners, tell)

    def forget(self, tell: Callable[[], None]) -> None:
        """Do not call `tell` any more; a call that has begun may still come."""
        with self._changed:
            self._listeners = tuple(one for one in self._listeners if one != tell)
