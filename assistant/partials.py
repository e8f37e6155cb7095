"""What is written so far goes to the store every second: a server may be killed without losing it.

Knows no queue and no model. One thread saves for all replies in progress, in one transaction: with 32 of them
that is one wait for the disk instead of 32, and a slow disk holds up no reply.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence

from assistant.reply_state import ReplyState, trace_of
from feedback import conversations
from feedback.conversations import Partial
from feedback.ids import MessageId
from feedback.store import Store

log = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0


class Partials:
    """Saves what `growing()` gives, as often as it changes but at most once in SAVE_EVERY_S."""

    def __init__(self, store: Store, growing: Callable[[], Sequence[ReplyState]]) -> None:
        self._store, self._growing = store, growing
        self._saved: dict[MessageId, ReplyState] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hone-partials", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the thread; nothing more is saved."""
        self._over.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._over.wait(SAVE_EVERY_S):
            now = {state.reply_id: state for state in self._growing()}
            due = [state for reply_id, state in now.items() if self._saved.get(reply_id) is not state]
            if not due:
                continue
            try:
                conversations.save_partials(self._store, [_partial(state) for state in due])
            except sqlite3.Error:  # the end of each reply is stored apart, and says what is wrong
                log.exception("what is written so far could not be saved")
            else:
                self._saved = now
        self._store.release()


def _partial(state: ReplyState) -> Partial:
    return Partial(state.reply_id, state.content, state.reasoning, tuple(trace_of(state.steps)))
