"""Many replies at once: all are written, in fair order; beyond the end of the line the answer is 503."""

import threading
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from assistant import partials
from assistant.accounts import Access
from assistant.engines.interface import Completion, Request
from assistant.server import Site, make_app
from assistant.turns import Turns, TurnSettings
from feedback import conversations
from feedback.errors import BusyError
from feedback.ids import LOCAL_USER, MessageId, UserId
from tests import build
from tests.scripted import ScriptedEngine, answering, serving


def ask(room: Turns, user_id: UserId, text: str = "Why?") -> MessageId:
    conversation = conversations.create(room.store, user_id)
    return room.send(user_id, conversation, None, text, TurnSettings())


class InStep(ScriptedEngine):
    """Ends replies in the order in which they came to it, and none before each that was started is here: so
    `requests` tell whom the line started, however long the system lets one thread wait.
    """

    def __init__(self, replies: int) -> None:
        super().__init__("one two three", held=True)
        self.replies, self.ended, self.moved = replies, 0, threading.Condition()

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        completion = yield from super().stream(request)
        with self.moved:
            self.moved.notify_all()
            self.moved.wait_for(lambda: self._may_end(request), timeout=20)
            self.ended += 1
            self.moved.notify_all()
        return completion

    def _may_end(self, request: Request) -> bool:
        here = len(self.requests) >= min(self.replies, self.ended + self.capacity)
        return here and self.requests[self.ended] is request


def test_two_hundred_queued_from_ten_people_are_all_written_in_fair_order(tmp_path: Path) -> None:
    engine = InStep(200)
    room = Turns(answering(tmp_path, engine), engine)
    people = [build.person(room.store, f"p{number}") for number in range(10)]
    mine = {person: [ask(room, person, f"{person} {n}?") for n in range(20)] for person in people}
    assert [room.state(mine[people[-1]][n]).waiting for n in (0, 19)] == [9, 196]
    assert threading.active_count() < 20, "who waits costs no thread"
    engine.go_on()
    for reply_id in [reply for replies in mine.values() for reply in replies]:
        assert list(room.events(reply_id))[-1].status == "complete"
    stored = room.store.rows("SELECT content FROM messages WHERE role = 'assistant' AND status = 'complete'")
    assert [row["content"] for row in stored] == ["one two three"] * 200
    asked = [request.prompt.split("user\n")[1].split("?")[0].split() for request in engine.requests]
    for start in range(4, 184, 10):  # each lap: everybody once, up to the four that run side by side
        laps = Counter(person for person, _ in asked[4:][: start + 6])
        assert max(laps.values()) - min(laps[person] for person in people[1:]) <= 3
    for person in people:
        order = [int(number) for who, number in asked if who == person]
        assert all(number <= place + 4 for place, number in enumerate(order)), "a person's own order is kept"
    room.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("hone-reply")]


def test_a_full_line_answers_503_with_a_time_to_come_back_and_adds_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine("one two", held=True, capacity=1)
    room = Turns(answering(tmp_path, engine), engine, most_waiting=2)
    with (
        serving(make_app(room, Access(room.store), Site(), [])) as address,
        httpx.Client(base_url=f"{address}/api", timeout=20) as api,
    ):
        made = [api.post("/conversations", json={}).json()["id"] for _ in range(4)]
        answers = [api.post(f"/conversations/{one}/messages", json={"content": "Why?"}) for one in made]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
        assert int(answers[3].headers["retry-after"]) > 0
        assert "busy" in answers[3].json()["error"]["what"]
        assert api.get(f"/conversations/{made[3]}").json()["thread"] == []
        waiting = [api.get(f"/conversations/{one}").json()["thread"][-1]["waiting"] for one in made[:3]]
        assert waiting == [0, 1, 2]
        told = api.get("/status").json()["replies"]
        assert told == {"writing": 1, "capacity": 1, "waiting": 2, "most_waiting": 2}
        api.delete(f"/conversations/{made[1]}")
        assert api.get(f"/conversations/{made[2]}").json()["thread"][-1]["waiting"] == 1
        again = api.post(f"/conversations/{made[3]}/messages", json={"content": "Why?"})
        assert again.status_code == 202
        engine.go_on()
        for one in (made[0], made[2], made[3]):
            reply = api.get(f"/conversations/{one}").json()["thread"][-1]["id"]
            assert list(room.events(reply))[-1].status == "complete"
        told = api.get("/status").json()["replies"]
        assert (told["waiting"], told["most_waiting"]) == (0, 2)
    assert len(engine.requests) == 3


def test_a_second_reply_is_refused_by_a_full_line_too(tmp_path: Path) -> None:
    engine = ScriptedEngine(capacity=1)
    room = Turns(answering(tmp_path, engine), engine, most_waiting=0)
    first = ask(room, LOCAL_USER)
    assert list(room.events(first))[-1].finished
    engine.hold()
    ask(room, LOCAL_USER)
    before = len(room.store.rows("SELECT id FROM messages"))
    with pytest.raises(BusyError):
        room.regenerate(LOCAL_USER, first, TurnSettings())
    assert len(room.store.rows("SELECT id FROM messages")) == before
    room.close()


def test_what_several_replies_say_so_far_is_saved_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partials, "SAVE_EVERY_S", 0.2)
    saved: list[int] = []
    save = conversations.save_partials

    def noted(store: object, some: list[conversations.Partial]) -> int:
        saved.append(len(some))
        return save(store, some)  # type: ignore[arg-type]

    monkeypatch.setattr(conversations, "save_partials", noted)
    engine = ScriptedEngine("one two", held=True, capacity=8)
    room = Turns(answering(tmp_path, engine), engine)
    replies = [ask(room, LOCAL_USER) for _ in range(8)]
    until = time.monotonic() + 10
    while any(not conversations.message(room.store, reply).content for reply in replies):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert sum(saved) == 8
    assert len(saved) <= 4
    room.close()
