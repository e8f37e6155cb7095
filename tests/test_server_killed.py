"""A vote that the server acknowledged over HTTP is there after a kill -9, and the next server goes on."""

import signal
import threading
from pathlib import Path

import httpx

from assistant.base import Base
from feedback import comparisons, votes
from feedback.ids import LOCAL_USER, VoteId
from feedback.store import Store
from tests import build
from tests.served import served

PAIRS = 60
ENOUGH = 25


def open_pairs(home: Path) -> list[str]:
    """Blind pairs that wait for a vote."""
    store = build.store(home)
    found = []
    for number in range(PAIRS):
        about = build.asked(store, f"What is {number}?", f"{number} apples.", f"{number} pears.")
        found.append(comparisons.open_pair(store, LOCAL_USER, *about.replies))
    store.close()
    return found


def test_every_vote_that_the_server_acknowledged_survives_its_kill(tiny_base: Base, tmp_path: Path) -> None:
    waiting = open_pairs(tmp_path)
    acknowledged: list[str] = []
    enough = threading.Event()

    def vote(address: str, share: list[str]) -> None:
        try:
            for pair in share:
                put = httpx.put(
                    f"{address}/api/comparisons/{pair}/vote", json={"verdict": "left"}, timeout=30
                )
                assert put.status_code == 200, put.text
                acknowledged.append(pair)
                if len(acknowledged) >= ENOUGH:
                    enough.set()
        except httpx.TransportError:
            return  # the server is gone: what was not answered was not acknowledged

    with served(tiny_base, tmp_path) as server:
        burst = [threading.Thread(target=vote, args=(server.address, waiting[part::3])) for part in range(3)]
        for thread in burst:
            thread.start()
        assert enough.wait(60)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        for thread in burst:
            thread.join()
    store = Store(tmp_path / "hone.db")
    assert ENOUGH <= len(acknowledged) < PAIRS, "the kill came too late to prove anything"
    for pair in acknowledged:
        vote_id = comparisons.get(store, LOCAL_USER, pair).vote_id
        assert vote_id is not None
        assert votes.get(store, VoteId(vote_id)).ranks == (1, 2)
    assert store.row("PRAGMA integrity_check")[0] == "ok"
    assert store.rows("PRAGMA foreign_key_check") == []
    with served(tiny_base, tmp_path) as server:
        left = next(pair for pair in waiting if pair not in acknowledged)
        again = httpx.put(f"{server.address}/api/comparisons/{left}/vote", json={"verdict": "right"})
        assert again.status_code == 200
