"""The pool that a turn is given: kept while nothing changes, cheap, and never with what was withdrawn."""

import time
from pathlib import Path

import pytest

from assistant import example_pools
from assistant.example_pools import ExamplePools
from feedback import conversations, demonstrations, splits
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from feedback.store import Store
from prompts.examples import Examples
from prompts.plain import shipped
from tests.build import asked, store

NEAREST = shipped()["few-shot-nearest"]
QUESTIONS = [
    text
    for text in (f"What is thing {n}?" for n in range(20))
    if not splits.is_held_out(splits.split_key([Turn("user", text)]))
]


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return store(tmp_path)


def answers(pool: Examples | None) -> list[str]:
    assert pool is not None
    return [example.answer for example in pool.choose("What is it?", 9, "first")]


def test_a_strategy_without_a_pool_gets_none(home: Store) -> None:
    assert ExamplePools(home).of(LOCAL_USER, shipped()["few-shot"]) is None


def test_a_pool_is_kept_until_something_changes(home: Store) -> None:
    pools = ExamplePools(home)
    first = asked(home, QUESTIONS[0], "A.")
    demonstrations.record(home, LOCAL_USER, first.replies[0], "Better.")
    kept = pools.of(LOCAL_USER, NEAREST)
    asked(home, "Another question", "Another answer")  # no judgement
    assert pools.of(LOCAL_USER, NEAREST) is kept
    assert answers(kept) == ["Better."]
    demonstrations.record(home, LOCAL_USER, first.replies[0], "Best.")
    assert answers(pools.of(LOCAL_USER, NEAREST)) == ["Best."]


def test_a_large_pool_is_made_beside_the_turn_and_shows_nothing_withdrawn_meanwhile(
    home: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_pools, "QUICK_S", 0.0)  # as if making it took long
    pools = ExamplePools(home)
    about = [asked(home, question, "A.") for question in QUESTIONS[:4]]
    for number, one in enumerate(about[:3]):
        demonstrations.record(home, LOCAL_USER, one.replies[0], f"Better {number}.")
    assert answers(pools.of(LOCAL_USER, NEAREST)) == ["Better 0.", "Better 1.", "Better 2."]
    demonstrations.withdraw(home, LOCAL_USER, about[0].replies[0])
    conversations.delete(home, LOCAL_USER, about[1].conversation_id)
    demonstrations.record(home, LOCAL_USER, about[3].replies[0], "Better 3.")
    assert answers(pools.of(LOCAL_USER, NEAREST)) in (["Better 2."], ["Better 2.", "Better 3."])
    end = time.monotonic() + 5
    while answers(pools.of(LOCAL_USER, NEAREST)) != ["Better 2.", "Better 3."]:
        assert time.monotonic() < end
        time.sleep(0.01)
