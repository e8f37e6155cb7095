"""The line before the model: nobody starves, nobody is lost, and a person's own replies keep their order."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.fair_line import FairLine
from feedback.errors import BusyError
from feedback.ids import MessageId, UserId

PEOPLE = st.sampled_from("abcde")
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), PEOPLE),
        st.tuples(st.just("done"), st.integers(0, 50)),
        st.tuples(st.just("leave"), st.integers(0, 50)),
    ),
    max_size=80,
)


class Watched:
    """A line that is used as a server uses it, and notes who joined, started, left and ended."""

    def __init__(self, capacity: int, most_waiting: int = 1000) -> None:
        self.line = FairLine(capacity, most_waiting)
        self.owner: dict[MessageId, str] = {}
        self.started: list[MessageId] = []
        self.running: list[MessageId] = []
        self.left: list[MessageId] = []
        self.patience: dict[str, int] = {}  # who has nothing running -> others that may still go first
        self._numbers = count()

    def join(self, person: str) -> MessageId:
        reply = MessageId(f"{person}{next(self._numbers)}")
        others = {self.owner[one] for one in self.line.order()} - {person}
        idle = person not in {self.owner[one] for one in (*self.running, *self.line.order())}
        self.line.check_room()
        self.owner[reply] = person
        self.line.join(UserId(person), reply)
        if idle:
            self.patience[person] = len(others)
        self.start_all()
        return reply

    def done(self, reply: MessageId) -> None:
        self.running.remove(reply)
        self.line.done(reply)
        self.start_all()

    def leave(self, reply: MessageId) -> None:
        assert self.line.leave(reply)
        self.left.append(reply)
        if self.owner[reply] not in {self.owner[one] for one in self.line.order()}:
            self.patience.pop(self.owner[reply], None)

    def start_all(self) -> None:
        while True:
            expected = self.line.order()[:1]
            reply = self.line.start()
            if reply is None:
                return
            assert [reply] == expected, "whoever is shown as the next one is the next one"
            self.started.append(reply)
            self.running.append(reply)
            self.patience.pop(self.owner[reply], None)
            for person in self.patience:
                self.patience[person] -= 1
                assert self.patience[person] >= 0, f"{person} waits while others have a second turn"

    def play(self, deeds: list[tuple[str, str | int]]) -> None:
        for deed, what in deeds:
            if deed == "join":
                self.join(str(what))
            elif deed == "done" and self.running:
                self.done(self.running[int(what) % len(self.running)])
            elif deed == "leave" and len(self.line):
                self.leave(self.line.order()[int(what) % len(self.line)])
            assert len(self.running) <= self.line.capacity
            assert not len(self.line) or len(self.running) == self.line.capacity, "a place stays free"


@given(st.integers(1, 5), DEEDS)
def test_nothing_is_lost_or_doubled(capacity: int, deeds: list[tuple[str, str | int]]) -> None:
    seen = Watched(capacity)
    seen.play(deeds)
    assert sorted([*seen.started, *seen.left, *seen.line.order()]) == sorted(seen.owner)
    assert len(seen.line) == len(seen.line.order())


@given(st.integers(1, 5), DEEDS)
def test_a_persons_own_replies_keep_their_order(capacity: int, deeds: list[tuple[str, str | int]]) -> None:
    seen = Watched(capacity)
    seen.play(deeds)
    for person in "abcde":
        mine = [int(reply[1:]) for reply in seen.started if reply[0] == person]
        assert mine == sorted(mine)
        waiting = [int(reply[1:]) for reply in seen.line.order() if reply[0] == person]
        assert waiting == sorted(waiting)


@given(st.integers(1, 5), DEEDS)
def test_nobody_starves(capacity: int, deeds: list[tuple[str, str | int]]) -> None:
    """Who has nothing running waits for one turn of each person who was there before, and for nobody else."""
    seen = Watched(capacity)
    seen.play(deeds)
    while seen.running:
        seen.done(seen.running[0])
    assert not len(seen.line)


@given(st.integers(1, 5), st.lists(PEOPLE, max_size=30), st.lists(st.integers(0, 50), max_size=30))
def test_while_nobody_joins_ones_place_never_rises(capacity: int, people: list[str], ends: list[int]) -> None:
    seen = Watched(capacity)
    for person in people:
        seen.join(person)
    for end in ends:
        before = {reply: place for place, reply in enumerate(seen.line.order())}
        if seen.running:
            seen.done(seen.running[end % len(seen.running)])
        after = {reply: place for place, reply in enumerate(seen.line.order())}
        assert all(after[reply] <= before[reply] for reply in after)


def test_a_hundred_requests_of_one_person_do_not_hold_up_anothers_one() -> None:
    seen = Watched(capacity=4)
    for _ in range(100):
        seen.join("a")
    short = seen.join("b")
    assert seen.line.order()[0] == short
    seen.done(seen.running[0])
    assert short in seen.running


def test_long_replies_do_not_take_the_places_of_short_ones() -> None:
    """Both have work waiting; b's replies end at once and a's never: b keeps its half of the places."""
    seen = Watched(capacity=4)
    for _ in range(20):
        seen.join("a")
    for _ in range(20):
        seen.join("b")
    for _ in range(2):
        seen.done(seen.running[0])
    for _ in range(10):
        seen.done(next(reply for reply in seen.running if reply[0] == "b"))
        assert [reply[0] for reply in sorted(seen.running)] == ["a", "a", "b", "b"]


def test_several_at_once_find_room_together_or_not_at_all() -> None:
    seen = Watched(capacity=2, most_waiting=2)
    seen.join("a")
    seen.line.check_room(3)  # one is written at once, two wait
    with pytest.raises(BusyError):
        seen.line.check_room(4)


def test_the_line_has_an_end_and_says_when_to_come_back() -> None:
    seen = Watched(capacity=1, most_waiting=2)
    for person in "abc":
        seen.join(person)
    with pytest.raises(BusyError, match="busy") as refused:
        seen.join("d")
    assert refused.value.retry_after_s > 0
    assert len(seen.line) == 2
    seen.done(seen.running[0])
    seen.join("d")
