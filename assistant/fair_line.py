"""The line of replies that wait for the model: who is next, and how many stand before each.

Pure bookkeeping of ids: knows no thread, store, engine or clock. Whoever shares it holds a lock around it.

As many replies run at once as the engine has room for. When a place is free, it goes to the person with the
fewest replies running, and among these to the one who has waited longest for a turn; a person's own replies
keep their order. So a hundred requests of one person do not hold up another's one, and somebody who asks for
long replies does not take the places of somebody who asks for short ones.
"""

import heapq
from collections import Counter, deque
from dataclasses import dataclass
from itertools import count

from feedback.errors import BusyError
from feedback.ids import MessageId, UserId

RETRY_AFTER_S = 5


@dataclass(frozen=True)
class Traffic:
    """How busy a line is, in replies: at most `capacity` are written at once, at most `most_waiting` wait."""

    writing: int
    capacity: int
    waiting: int
    most_waiting: int


class FairLine:
    """Replies that run, `capacity` of them at most, and replies that wait, `most_waiting` at most."""

    def __init__(self, capacity: int, most_waiting: int) -> None:
        self.capacity, self.most_waiting = capacity, most_waiting
        self._running: dict[MessageId, UserId] = {}
        self._waiting: dict[UserId, deque[MessageId]] = {}
        self._turns: dict[UserId, int] = {}  # whoever waits: the lower, the sooner
        self._numbers = count()

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def traffic(self) -> Traffic:
        return Traffic(len(self._running), self.capacity, len(self), self.most_waiting)

    def check_room(self, joining: int = 1) -> None:
        """BusyError when so many more may not join."""
        free = self.capacity - len(self._running)
        if len(self) + joining - free > self.most_waiting:
            raise BusyError(
                "The model is busy.",
                f"{len(self)} replies wait for it already, and the line is full.",
                "Try again in a few seconds.",
                retry_after_s=RETRY_AFTER_S,
            )

    def join(self, user_id: UserId, reply_id: MessageId) -> None:
        """Stand in line."""
        if user_id not in self._waiting:
            self._waiting[user_id] = deque()
            self._turns[user_id] = next(self._numbers)
        self._waiting[user_id].append(reply_id)

    def start(self) -> MessageId | None:
        """The next reply, which runs from now on; None when nobody waits or no place is free."""
        if not self._waiting or len(self._running) >= self.capacity:
            return None
        busy = Counter(self._running.values())
        user_id = min(self._waiting, key=lambda user: (busy[user], self._turns[user]))
        reply_id = self._waiting[user_id].popleft()
        self._turns[user_id] = next(self._numbers)
        self._tidy(user_id)
        self._running[reply_id] = user_id
        return reply_id

    def done(self, reply_id: MessageId) -> None:
        """A reply that ran is over: its place is free."""
        del self._running[reply_id]

    def leave(self, reply_id: MessageId) -> bool:
        """Take a reply out of the line; False when it does not wait."""
        for user_id, mine in self._waiting.items():
            if reply_id in mine:
                mine.remove(reply_id)
                self._tidy(user_id)
                return True
        return False

    def order(self) -> list[MessageId]:
        """Everyone who waits, in the order in which they start as things stand. Nobody's place rises by what
        ends; it may by what joins.
        """
        busy = Counter(self._running.values())
        heap = [(busy[user_id], turn, user_id, 0) for user_id, turn in self._turns.items()]
        heapq.heapify(heap)
        later = count(max(self._turns.values(), default=0) + 1)
        order: list[MessageId] = []
        while heap:
            running, _, user_id, index = heapq.heappop(heap)
            mine = self._waiting[user_id]
            order.append(mine[index])
            if index + 1 < len(mine):
                heapq.heappush(heap, (running + 1, next(later), user_id, index + 1))
        return order

    def _tidy(self, user_id: UserId) -> None:
        if not self._waiting[user_id]:
            del self._waiting[user_id], self._turns[user_id]
