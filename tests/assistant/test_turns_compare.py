"""Compare: a second reply, blind, drawn the same way, and no branch before there is a vote."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import compare
from assistant.turns import Turns, TurnSettings
from feedback import comparisons, conversations
from feedback.conversations import Message, Sampling
from feedback.errors import ConflictError
from feedback.ids import LOCAL_USER
from tests.scripted import ScriptedEngine, answering


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def room(tmp_path: Path, engine: ScriptedEngine) -> Iterator[Turns]:
    made = Turns(answering(tmp_path, engine), engine)
    yield made
    made.close()


def first_reply(room: Turns, text: str = "Why?") -> Message:
    conversation = conversations.create(room.store, LOCAL_USER)
    settings = TurnSettings("few-shot", Sampling(0.2, 0.7, 40, 5))
    reply_id = room.send(LOCAL_USER, conversation, None, text, settings)
    list(room.events(reply_id))
    return conversations.message(room.store, reply_id)


def second_of(room: Turns, first: Message, comparison_id: str) -> Message:
    pair = comparisons.get(room.store, LOCAL_USER, comparison_id)
    (second_id,) = {pair.left_id, pair.right_id} - {first.id}
    list(room.events(second_id))
    return conversations.message(room.store, second_id)


def test_the_second_reply_is_asked_as_the_first_was_but_with_another_seed(
    room: Turns, engine: ScriptedEngine
) -> None:
    first = first_reply(room)
    second = second_of(room, first, compare.start(room, LOCAL_USER, first.id))
    assert second.prompt_text == first.prompt_text
    assert (second.strategy, second.temperature, second.top_p, second.max_tokens) == (
        "few-shot",
        0.2,
        0.7,
        40,
    )
    assert second.seed != first.seed


def test_the_second_reply_is_a_branch_only_once_there_is_a_vote(room: Turns) -> None:
    first = first_reply(room)
    comparison_id = compare.start(room, LOCAL_USER, first.id)
    second = second_of(room, first, comparison_id)
    shown = conversations.thread(room.store, first.conversation_id)[-1]
    assert (shown.message.id, shown.branches) == (first.id, (first.id,))
    comparisons.vote(room.store, LOCAL_USER, comparison_id, "left")
    assert set(conversations.thread(room.store, first.conversation_id)[-1].branches) == {first.id, second.id}


def test_the_new_reply_stands_on_either_side(room: Turns) -> None:
    first = first_reply(room)
    sides = set()
    for _ in range(40):
        pair = comparisons.get(room.store, LOCAL_USER, compare.start(room, LOCAL_USER, first.id))
        sides.add("left" if pair.left_id == first.id else "right")
    assert sides == {"left", "right"}


def test_a_failed_reply_has_nothing_to_compare(room: Turns) -> None:
    with pytest.raises(ConflictError, match="finished"):
        compare.start(room, LOCAL_USER, first_reply(room, "BREAK").id)
