"""Strategies in a turn: samples side by side, one stop for all, examples of the pool, and the record."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant import remarks
from assistant.api import shapes
from assistant.reply_state import ReplyState, stored_state
from assistant.turns import Turns, TurnSettings
from feedback import conversations, demonstrations, splits
from feedback.conversations import Message, Sampling
from feedback.ids import LOCAL_USER, MessageId, UserId
from feedback.message import Turn
from prompts import library
from prompts.own import register_own
from tests.build import person
from tests.scripted import ScriptedEngine, answering

CHECKED = """---
title: Checked
variables: [question]
temperature: 0.5
check: {max_words: 2}
retries: 2
---
{% message "user" %}{{ question }}{% endmessage %}"""

Opened = Callable[[ScriptedEngine], Turns]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made: list[Turns] = []

    def start(engine: ScriptedEngine) -> Turns:
        store = answering(tmp_path, engine)
        (tmp_path / "prompts").mkdir()
        (tmp_path / "prompts" / "checked.jinja").write_text(CHECKED)
        register_own(store, tmp_path / "prompts")
        made.append(Turns(store, engine))
        return made[-1]

    yield start
    for one in made:
        one.close()


def ask(room: Turns, strategy: str, text: str = "Why?", user_id: UserId = LOCAL_USER) -> MessageId:
    conversation = conversations.create(room.store, user_id)
    settings = TurnSettings(strategy, Sampling(seed=100))
    return room.send(user_id, conversation, None, text, settings)


def ended(room: Turns, reply_id: MessageId) -> tuple[Message, list[ReplyState]]:
    seen = list(room.events(reply_id))
    assert seen[-1].finished
    return conversations.message(room.store, reply_id), seen


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_samples_are_written_side_by_side_each_by_a_seed_of_its_own(opened: Opened) -> None:
    engine = ScriptedEngine("Thinking: so. Answer: 7", held=True)
    room = opened(engine)
    reply_id = ask(room, "self-consistency")
    until(lambda: len(engine.requests) == 9)  # all have begun, and none can end
    engine.go_on()
    reply, seen = ended(room, reply_id)
    assert (reply.content, reply.reasoning) == ("7", "Thinking: so.")
    assert remarks.agreement(seen[-1]) == "9 of 9 agreed"
    assert sorted(request.sampling.seed or 0 for request in engine.requests) == list(range(100, 109))
    assert {request.sampling.temperature for request in engine.requests} == {0.4}
    assert len({request.prompt for request in engine.requests}) == 1
    assert reply.ended
    assert reply.reply_tokens


def test_the_votes_and_the_other_answers_are_kept_with_the_reply(opened: Opened) -> None:
    room = opened(ScriptedEngine("Answer: SEED"))
    reply, seen = ended(room, ask(room, "self-consistency"))
    assert reply.content == "100"  # all differ: the first counts
    state = stored_state(reply)
    assert state.made == seen[-1].made
    assert len(state.made.samples) == 9
    assert remarks.agreement(state) == "1 of 9 agreed"
    shown = shapes.reply_state(state)
    assert [sample.agrees for sample in shown.made.samples] == [True, *[False] * 8]


def test_a_stop_ends_all_samples_at_once(opened: Opened) -> None:
    engine = ScriptedEngine("Thinking: so. Answer: 7", held=True)
    room = opened(engine)
    reply_id = ask(room, "self-consistency")
    until(lambda: len(engine.requests) == 9)
    room.stop(reply_id)
    reply, _ = ended(room, reply_id)
    assert reply.status == "stopped"
    assert reply.content.strip() == "Thinking:"


def test_a_sample_that_breaks_fails_the_reply_in_one_sentence(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    reply, _ = ended(room, ask(room, "self-consistency", "BREAK"))
    assert (reply.status, reply.error) == (
        "failed",
        "The model broke off while writing this reply (RuntimeError).",
    )


def test_what_fails_a_check_is_asked_again_by_another_seed_and_told(opened: Opened) -> None:
    engine = ScriptedEngine("One two SEED.")
    room = opened(engine)
    reply, seen = ended(room, ask(room, "checked"))
    assert [request.sampling.seed for request in engine.requests] == [100, 101, 102]
    assert reply.content.strip() == "One two 102."
    sentences = dict(remarks.notes(stored_state(reply)))
    assert sentences == dict(remarks.notes(seen[-1]))
    assert sentences["retried"] == "The model was asked again 2 times: its answer has 3 words, more than 2."
    assert sentences["check-failed"] == "This answer does not pass its check: it has 3 words, more than 2."


def test_a_demonstration_is_an_example_for_its_writer_alone_and_named_in_the_record(opened: Opened) -> None:
    engine = ScriptedEngine("Reply.")
    room = opened(engine)
    question = next(
        text
        for text in (f"Why is the sky blue on day {n}?" for n in range(40))
        if not splits.is_held_out(splits.split_key([Turn("user", text)]))
    )
    corrected, _ = ended(room, ask(room, "zero-shot", question))
    before, _ = ended(room, ask(room, "few-shot-nearest", "Why is the sky so blue?"))
    shown_id = demonstrations.record(room.store, LOCAL_USER, corrected.id, "Air scatters blue light.")
    reply, seen = ended(room, ask(room, "few-shot-nearest", "Why is the sky so blue?"))
    assert "Air scatters blue light." in (reply.prompt_text or "")
    assert "Air scatters blue light." not in (before.prompt_text or "")
    assert [example.source for example in seen[-1].made.examples] == [shown_id]
    record = shapes.record(room.store, reply)
    assert record.examples == (shown_id,)
    other, _ = ended(room, ask(room, "few-shot-nearest", "Why is it blue?", person(room.store, "bob")))
    assert "Air scatters blue light." not in (other.prompt_text or "")
    assert shapes.record(room.store, other).examples == ()
    demonstrations.withdraw(room.store, LOCAL_USER, corrected.id)
    after, _ = ended(room, ask(room, "few-shot-nearest", "Why is the sky so blue?"))
    assert "Air scatters blue light." not in (after.prompt_text or "")


def test_a_branch_and_its_retries_are_said_beside_the_step(opened: Opened) -> None:
    room = opened(ScriptedEngine("word " * 70))
    reply, seen = ended(room, ask(room, "meta"))
    state = stored_state(reply)
    assert state.steps == seen[-1].steps
    remark = remarks.step_remark(state.steps[0])
    assert remark.startswith("asked again 2 times; its text has 70 words, more than 60")


def test_a_reply_of_an_earlier_hone_is_shown_as_before(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    reply, _ = ended(room, ask(room, "zero-shot"))
    old = '[{"name": "plan", "title": "Plan", "prompt_text": "p", "output": "o"}]'
    room.store.execute("UPDATE messages SET trace_json = ? WHERE id = ?", old, reply.id)
    state = room.state(reply.id)
    assert [(step.title, step.text, remarks.step_remark(step)) for step in state.steps] == [("Plan", "o", "")]
    assert shapes.record(room.store, conversations.message(room.store, reply.id)).examples == ()


def test_the_strategies_of_the_home_can_be_chosen(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    assert "checked" in library.names(room.store)
