"""`auto` in a turn: the chosen strategy writes the reply, and the record says who chose it and why."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from assistant import compare, registry, remarks
from assistant.accounts import Access
from assistant.server import Site, make_app
from assistant.terminal.local import LocalDoor
from assistant.turns import Turns, TurnSettings
from feedback import comparisons, conversations
from feedback.continuations import Asked
from feedback.conversations import Message, Turn
from feedback.ids import LOCAL_USER, MessageId
from feedback.store import Store
from prompts import library, measures, service, trials
from prompts.kinds import kind_of
from prompts.library import NewVersion
from prompts.measures import Measure, Measuring, Way, item_sha256
from prompts.trials import Arm
from tests.scripted import ScriptedEngine, answering, serving

SUM = "Ann has 3 pens and buys 2 more. How many has she?"
AUTO = TurnSettings("auto")


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Thinking: 3 + 2. Answer: 5")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def room(store: Store, engine: ScriptedEngine) -> Iterator[Turns]:
    made = Turns(store, engine)
    yield made
    made.close()


def measure(store: Store, name: str, right: int, question: str = SUM) -> None:
    """That so many of 100 such questions were answered rightly, on the champion."""
    items = [
        Measure(item_sha256(f"{question} {n}"), "d", kind_of(question), float(n < right)) for n in range(100)
    ]
    version_id = library.production(store, name).id
    way = Way(max_tokens=256, seed=0)
    measures.record(store, [Measuring(registry.champion(store).id, version_id, way, "r", items)])


@pytest.fixture
def won(store: Store) -> None:
    measure(store, "zero-shot", 20)
    measure(store, "chain-of-thought", 40)


def finished(room: Turns, reply_id: MessageId) -> Message:
    list(room.events(reply_id))
    return conversations.message(room.store, reply_id)


def test_the_reply_is_the_chosen_strategys_and_says_that_auto_chose_it(room: Turns, won: None) -> None:
    reply_id = room.send(LOCAL_USER, None, None, SUM, AUTO)
    seen = list(room.events(reply_id))
    reply = conversations.message(room.store, reply_id)
    assert (reply.strategy, reply.content) == ("chain-of-thought", "5")
    assert reply.prompt_version_id == library.production(room.store, "chain-of-thought").id
    assert reply.chosen_because is not None
    assert "of 100 measured sums it got 20 more right than zero-shot" in reply.chosen_because
    assert {state.chosen_because for state in seen} == {reply.chosen_because}
    assert ("chosen", reply.chosen_because) in remarks.notes(room.state(reply_id))


def test_another_kind_of_question_is_put_plainly_and_says_why(room: Turns, won: None) -> None:
    reply = finished(room, room.send(LOCAL_USER, None, None, "Why is the sky blue?", AUTO))
    assert reply.strategy == "zero-shot"
    assert (
        reply.chosen_because
        == "Auto chose Zero-shot: nothing is measured yet of open questions on this model."
    )


def test_a_strategy_that_was_named_says_nothing_of_auto(room: Turns, won: None) -> None:
    reply_id = room.send(LOCAL_USER, None, None, SUM, TurnSettings("chain-of-thought"))
    assert finished(room, reply_id).chosen_because is None
    assert remarks.notes(room.state(reply_id)) == []


def test_an_edit_a_branch_and_a_programs_question_are_chosen_for_by_their_own_words(
    room: Turns, won: None
) -> None:
    first = finished(room, room.send(LOCAL_USER, None, None, "Why is the sky blue?", AUTO))
    assert first.parent_id is not None
    edited = finished(room, room.edit(LOCAL_USER, first.parent_id, SUM, AUTO))
    again = finished(room, room.regenerate(LOCAL_USER, edited.id, AUTO))
    asked = Asked("", (Turn("user", "Hello"), Turn("assistant", "Hello."), Turn("user", SUM)))
    (live,) = room.answer(LOCAL_USER, asked, [AUTO])
    program = finished(room, live.reply_id)
    assert [one.strategy for one in (first, edited, again, program)] == ["zero-shot"] + [
        "chain-of-thought"
    ] * 3


def test_a_trial_of_the_chosen_strategy_holds(room: Turns, won: None) -> None:
    serving_now = library.production(room.store, "chain-of-thought")
    text = serving_now.strategy.files[0][1].replace("title: Chain of thought", "title: Other")
    other = library.add(
        room.store, LOCAL_USER, NewVersion(serving_now.name, {"chain-of-thought.jinja": text})
    )
    arms = [Arm(serving_now.id, 1), Arm(other.id, 1)]
    trials.start(room.store, LOCAL_USER, serving_now.name, arms)
    found = set()
    for _ in range(12):
        reply = finished(room, room.send(LOCAL_USER, None, None, SUM, AUTO))
        assert service.version_for(room.store, serving_now.name, reply.conversation_id).id == (
            reply.prompt_version_id
        )
        found.add(reply.prompt_version_id)
    assert found == {serving_now.id, other.id}


def test_what_auto_chose_is_compared_with_another_strategy_and_the_vote_counts(
    room: Turns, won: None
) -> None:
    for question in (SUM, "Why is the sky blue?"):
        first = finished(room, room.send(LOCAL_USER, None, None, question, AUTO))
        pair = comparisons.get(room.store, LOCAL_USER, compare.start(room, LOCAL_USER, first.id))
        both = [finished(room, one) for one in (pair.left_id, pair.right_id)]
        assert len({one.strategy for one in both}) == 2
        assert "zero-shot" in {one.strategy for one in both}
    named = finished(room, room.send(LOCAL_USER, None, None, SUM, TurnSettings("chain-of-thought")))
    pair = comparisons.get(room.store, LOCAL_USER, compare.start(room, LOCAL_USER, named.id))
    assert {finished(room, one).strategy for one in (pair.left_id, pair.right_id)} == {"chain-of-thought"}


def test_programs_and_terminals_can_ask_for_it(store: Store, engine: ScriptedEngine, won: None) -> None:
    app = make_app(Turns(store, engine), Access(store), Site(), [])
    with serving(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        ways = client.get("/api/strategies").json()["strategies"]
        assert [one["name"] for one in ways][:2] == ["zero-shot", "auto"]
        assert "hone:auto" in [one["id"] for one in client.get("/v1/models").json()["data"]]
        told = client.get("/api/strategies/auto", params={"question": SUM}).json()
        assert (told["kind"], told["name"]) == ("sum", "chain-of-thought")
        body = {"model": "hone:auto", "messages": [{"role": "user", "content": SUM}]}
        hone = client.post("/v1/chat/completions", json=body).json()["hone"]
        assert hone["strategy"] == "chain-of-thought"
        assert hone["chosen_because"] == told["because"]
        record = client.get(f"/api/replies/{hone['reply_id']}").json()
        assert record["chosen_because"] == told["because"]
        missing = client.get("/api/prompts/auto")
        assert (missing.status_code, "It has no text" in missing.text) == (404, True)


def test_a_terminal_is_told_why(store: Store, engine: ScriptedEngine, won: None) -> None:
    door = LocalDoor(store, engine)
    reply_id = door.send(door.create(), None, SUM, "auto")
    *_, last = door.watch(reply_id)
    assert last.notes[0].startswith("Auto chose Chain of thought: ")
    assert "auto" in [way.name for way in door.ways()]
    door.close()
