"""A reply is written by the server: stored as it grows, watched by anyone, stopped, retried, never lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant import partials, registry
from assistant.live import LiveReply
from assistant.reply_state import ReplyState, after, history_of, steps_of, trace_of
from assistant.turns import Turns, TurnSettings
from feedback import conversations
from feedback.conversations import Message, Sampling
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import LOCAL_USER, SYSTEM_USER, MessageId
from prompts import events
from prompts.events import TraceStep
from tests.scripted import ScriptedEngine, answering, version

Opened = Callable[[ScriptedEngine], Turns]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made: list[Turns] = []

    def start(engine: ScriptedEngine) -> Turns:
        engine.capacity = 1
        made.append(Turns(answering(tmp_path, engine), engine))
        return made[-1]

    yield start
    for one in made:
        one.close()


def ask(room: Turns, text: str = "Why is the sky blue?", settings: TurnSettings | None = None) -> MessageId:
    conversation = conversations.create(room.store, LOCAL_USER)
    return room.send(LOCAL_USER, conversation, None, text, settings or TurnSettings())


def ended(room: Turns, reply_id: MessageId) -> Message:
    assert list(room.events(reply_id))[-1].finished
    return conversations.message(room.store, reply_id)


def begun(room: Turns, reply_id: MessageId) -> None:
    next(state for state in room.events(reply_id) if state.content)


def test_a_reply_records_all_that_made_it(opened: Opened) -> None:
    engine = ScriptedEngine("It scatters light.")
    room = opened(engine)
    reply = ended(room, ask(room, settings=TurnSettings("zero-shot", Sampling(0.3, 0.8, 50, None))))
    assert (reply.status, reply.content.strip()) == ("complete", "It scatters light.")
    assert reply.model_version_id == registry.champion(room.store).id
    assert reply.prompt_version_id is not None
    assert reply.prompt_version_id.startswith("pv_")
    assert (reply.strategy, reply.engine) == ("zero-shot", "scripted")
    assert (reply.temperature, reply.top_p, reply.max_tokens) == (0.3, 0.8, 50)
    assert reply.prompt_text == engine.requests[0].prompt
    assert (reply.reply_tokens, reply.dropped_turns) == (3, 0)
    assert reply.duration_s is not None


def test_a_seed_that_was_not_given_is_drawn_and_recorded_as_used(opened: Opened) -> None:
    engine = ScriptedEngine()
    room = opened(engine)
    first, second = ended(room, ask(room)), ended(room, ask(room))
    assert first.seed == engine.requests[0].sampling.seed
    assert first.seed is not None
    assert first.seed != second.seed


def test_whoever_comes_late_sees_everything_so_far_and_then_the_rest(opened: Opened) -> None:
    engine = ScriptedEngine("one two three", held=True)
    room = opened(engine)
    reply_id = ask(room)
    begun(room, reply_id)
    late = room.events(reply_id)
    assert next(late).content == "one "
    engine.go_on()
    assert list(late)[-1].content == "one two three"
    assert [state.content for state in room.events(reply_id)] == ["one two three"]


def test_a_stop_keeps_what_was_written(opened: Opened) -> None:
    room = opened(ScriptedEngine("one two three", held=True))
    reply_id = ask(room)
    begun(room, reply_id)
    room.stop(reply_id)
    reply = ended(room, reply_id)
    assert (reply.status, reply.content.strip()) == ("stopped", "one")
    assert reply.prompt_text


def test_a_reply_that_waits_its_turn_can_be_stopped_at_once(opened: Opened) -> None:
    engine = ScriptedEngine("one two", held=True)
    room = opened(engine)
    first = ask(room)
    begun(room, first)
    second = ask(room)
    assert room.state(second).waiting == 1
    room.stop(second)
    assert ended(room, second).status == "stopped"
    engine.go_on()
    assert ended(room, first).status == "complete"
    assert len(engine.requests) == 1


def test_a_model_that_breaks_gives_a_failed_reply_with_one_sentence_and_the_next_one_works(
    opened: Opened,
) -> None:
    room = opened(ScriptedEngine())
    reply = ended(room, ask(room, "BREAK"))
    assert (reply.status, reply.error) == (
        "failed",
        "The model broke off while writing this reply (RuntimeError).",
    )
    assert "BREAK" in (reply.prompt_text or "")
    assert ended(room, ask(room)).status == "complete"


def test_what_is_written_so_far_is_in_the_store_before_the_end(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partials, "SAVE_EVERY_S", 0.01)
    room = opened(ScriptedEngine("one two", held=True))
    reply_id = ask(room)
    begun(room, reply_id)
    while not (partial := conversations.message(room.store, reply_id)).content:
        pass
    assert (partial.status, partial.content) == ("writing", "one ")


def test_a_promotion_holds_from_the_next_reply_on(opened: Opened, tmp_path: Path) -> None:
    engine = ScriptedEngine("one two", held=True)
    room = opened(engine)
    old, new = registry.champion(room.store), version(room.store, "newer")
    first = ask(room)
    begun(room, first)
    registry.move_champion(room.store, Home(tmp_path), LOCAL_USER, new.id, "promote")
    engine.go_on()
    assert ended(room, first).model_version_id == old.id
    assert ended(room, ask(room)).model_version_id == new.id
    assert [request.version.name for request in engine.requests] == [old.name, "newer"]


def test_sending_while_a_reply_is_being_written_is_refused_and_adds_nothing(opened: Opened) -> None:
    room = opened(ScriptedEngine("one two", held=True))
    reply_id = ask(room)
    begun(room, reply_id)
    conversation_id = conversations.message(room.store, reply_id).conversation_id
    before = len(room.store.rows("SELECT id FROM messages"))
    with pytest.raises(ConflictError):
        room.send(LOCAL_USER, conversation_id, None, "And this?", TurnSettings())
    assert len(room.store.rows("SELECT id FROM messages")) == before


def test_writing_again_and_editing_add_branches(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    first = ended(room, ask(room))
    again = ended(room, room.regenerate(LOCAL_USER, first.id, TurnSettings()))
    assert again.parent_id == first.parent_id
    assert first.parent_id is not None
    edited = ended(room, room.edit(LOCAL_USER, first.parent_id, "Why is it red?", TurnSettings()))
    thread = conversations.thread(room.store, first.conversation_id)
    assert [item.message.id for item in thread][-1] == edited.id
    assert len(thread[0].branches) == 2
    assert conversations.message(room.store, first.id).content == first.content


def test_nobody_reaches_into_another_persons_conversation(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    reply = ended(room, ask(room))
    for attempt in (
        lambda: room.send(SYSTEM_USER, reply.conversation_id, reply.id, "Mine?", TurnSettings()),
        lambda: room.regenerate(SYSTEM_USER, reply.id, TurnSettings()),
        lambda: room.owned(SYSTEM_USER, reply.id),
    ):
        with pytest.raises(NotFoundError):
            attempt()


def test_an_unknown_strategy_is_refused_before_anything_is_written(opened: Opened) -> None:
    room = opened(ScriptedEngine())
    with pytest.raises(HoneError, match="no strategy"):
        ask(room, settings=TurnSettings("telepathy"))
    assert not room.store.rows("SELECT id FROM messages")


def test_several_people_are_answered_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine("one two", held=True, capacity=2)
    room = Turns(answering(tmp_path, engine), engine)
    both = [ask(room), ask(room)]
    for reply_id in both:
        begun(room, reply_id)
    third = ask(room)
    assert room.state(third).waiting == 1
    engine.go_on()
    assert [ended(room, reply_id).status for reply_id in (*both, third)] == ["complete"] * 3
    room.close()


def test_closing_stops_every_reply_and_keeps_it(opened: Opened) -> None:
    room = opened(ScriptedEngine("one two", held=True))
    first = ask(room)
    begun(room, first)
    second = ask(room)
    room.close()
    kept = [conversations.message(room.store, reply_id) for reply_id in (first, second)]
    assert [(reply.status, reply.content.strip()) for reply in kept] == [("stopped", "one"), ("stopped", "")]
    with pytest.raises(ConflictError):
        ask(room)


def test_replies_that_a_killed_server_left_are_stopped_at_the_next_start(tmp_path: Path) -> None:
    held = ScriptedEngine("one two", held=True)
    killed = Turns(answering(tmp_path, held), held)
    reply_id = ask(killed)
    begun(killed, reply_id)
    other = ScriptedEngine()
    restarted = Turns(answering(tmp_path, other), other)
    assert restarted.state(reply_id).status == "stopped"
    restarted.close()
    held.go_on()
    killed.close()


@pytest.mark.parametrize("strategy", ["chain", "meta"])
def test_the_steps_of_a_strategy_are_shown_and_kept_with_their_prompts(opened: Opened, strategy: str) -> None:
    engine = ScriptedEngine("First this, then that.")
    room = opened(engine)
    reply_id = ask(room, settings=TurnSettings(strategy))
    seen = list(room.events(reply_id))
    reply = conversations.message(room.store, reply_id)
    assert len(engine.requests) == len(reply.trace) + 1 >= 2
    assert reply.trace[0]["prompt_text"] == engine.requests[0].prompt
    assert reply.prompt_text == engine.requests[-1].prompt
    assert seen[-1].steps == steps_of(reply.trace) or not seen[0].steps


def test_a_step_grows_and_is_done() -> None:
    state = ReplyState(MessageId("m"), "writing")
    for event in (
        events.StepStarted("plan", "Plan"),
        events.StepText("plan", "a"),
        events.StepText("plan", "b"),
    ):
        state = after(state, event)
    assert [(step.text, step.done) for step in state.steps] == [("ab", False)]
    state = after(state, events.StepDone(TraceStep("plan", "Plan", "the prompt", "ab", "ab")))
    assert state.steps == steps_of(trace_of(state.steps))


def test_reasoning_without_an_answer_marker_becomes_the_answer() -> None:
    state = ReplyState(MessageId("m"), "writing")
    for event in (
        events.ReasoningText("It is"),
        events.AnswerText("It is so."),
        events.Finished("It is so.", "", (), "p", 1, 0),
    ):
        state = after(state, event)
    assert (state.content, state.reasoning) == ("It is so.", "")


def test_a_finished_reply_does_not_change_any_more() -> None:
    live = LiveReply(MessageId("m"))
    live.change(status="stopped", content="kept")
    live.change(content="too late")
    assert live.state.content == "kept"


def test_a_question_without_a_reply_is_not_told_to_the_model(opened: Opened) -> None:
    engine = ScriptedEngine()
    room = opened(engine)
    failed = ended(room, ask(room, "BREAK"))
    path = conversations.path(room.store, failed.id)
    follow_up = path[0]
    history, question = history_of([*path, follow_up])
    assert (history, question) == ((), "BREAK")
