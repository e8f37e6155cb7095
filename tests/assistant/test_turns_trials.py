"""Who answers while a trial runs: one version a conversation, and another beside it in a comparison."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import compare
from assistant.turns import Turns, TurnSettings
from feedback import comparisons, conversations
from feedback.continuations import Asked
from feedback.conversations import Message, Turn
from feedback.errors import NotFoundError
from feedback.ids import LOCAL_USER, ConversationId
from prompts import labels, service, standings, trials
from prompts.library import PromptVersion
from prompts.trials import Arm, Trial
from tests.prompts.ground import NAME, add
from tests.scripted import ScriptedEngine, answering


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Turns]:
    engine = ScriptedEngine("SEED it is.")
    made = Turns(answering(tmp_path, engine), engine)
    yield made
    made.close()


@pytest.fixture
def two(room: Turns) -> tuple[PromptVersion, PromptVersion]:
    first, second = add(room.store, "Be brief."), add(room.store, "Be kind.")
    service.put(room.store, LOCAL_USER, first.id)
    return first, second


@pytest.fixture
def trial(room: Turns, two: tuple[PromptVersion, PromptVersion]) -> Trial:
    return trials.start(room.store, LOCAL_USER, NAME, [Arm(two[0].id, 1), Arm(two[1].id, 1)])


def said(room: Turns, conversation: ConversationId | None, parent: Message | None = None) -> Message:
    reply = room.send(LOCAL_USER, conversation, parent and parent.id, "Why?", TurnSettings(NAME))
    list(room.events(reply))
    return conversations.message(room.store, reply)


def test_a_conversation_keeps_its_version_and_others_get_the_other(room: Turns, trial: Trial) -> None:
    first = [said(room, None) for _ in range(12)]
    assert {reply.prompt_version_id for reply in first} == {arm.version_id for arm in trial.arms}
    for reply in first[:4]:
        later = said(room, reply.conversation_id, reply)
        again = room.regenerate(LOCAL_USER, later.id, TurnSettings(NAME))
        list(room.events(again))
        assert later.prompt_version_id == reply.prompt_version_id
        assert conversations.message(room.store, again).prompt_version_id == reply.prompt_version_id
        assert later.prompt_version_id == trials.arm_of(trial, reply.conversation_id)


def test_what_is_put_in_production_answers_from_the_next_reply_on(
    room: Turns, two: tuple[PromptVersion, PromptVersion]
) -> None:
    reply = said(room, None)
    assert reply.prompt_version_id == two[0].id
    service.put(room.store, LOCAL_USER, two[1].id)
    assert said(room, reply.conversation_id, reply).prompt_version_id == two[1].id


def test_a_program_is_part_of_the_trial_too(room: Turns, trial: Trial) -> None:
    asked = [Asked("", (Turn("user", f"Why {number}?"),)) for number in range(12)]
    lives = [room.answer(LOCAL_USER, one, [TurnSettings(NAME)])[0] for one in asked]
    for live in lives:
        list(live.watch())
    found = {conversations.message(room.store, live.reply_id).prompt_version_id for live in lives}
    assert found == {arm.version_id for arm in trial.arms}


def test_a_comparison_sets_the_other_version_beside_and_its_vote_counts(room: Turns, trial: Trial) -> None:
    first = said(room, None)
    pair = comparisons.get(room.store, LOCAL_USER, compare.start(room, LOCAL_USER, first.id))
    (second_id,) = {pair.left_id, pair.right_id} - {first.id}
    list(room.events(second_id))
    second = conversations.message(room.store, second_id)
    assert {first.prompt_version_id, second.prompt_version_id} == {arm.version_id for arm in trial.arms}
    assert (second.strategy, second.temperature) == (first.strategy, first.temperature)
    comparisons.vote(room.store, LOCAL_USER, pair.id, "left" if pair.left_id == second_id else "right")
    (found,) = standings.standings(
        standings.read(room.store), [second.prompt_version_id or ""], first.prompt_version_id or ""
    )
    assert found.win_rate is not None
    assert (found.votes_against, round(found.win_rate.value, 6)) == (1, 0.75)


def test_without_a_trial_a_comparison_is_of_one_version(
    room: Turns, two: tuple[PromptVersion, PromptVersion]
) -> None:
    first = said(room, None)
    pair = comparisons.get(room.store, LOCAL_USER, compare.start(room, LOCAL_USER, first.id))
    shown = [conversations.message(room.store, one) for one in (pair.left_id, pair.right_id)]
    assert {one.prompt_version_id for one in shown} == {two[0].id}


def test_a_version_of_another_strategy_or_one_out_of_service_is_refused_and_nothing_is_kept(
    room: Turns, two: tuple[PromptVersion, PromptVersion]
) -> None:
    before = len(room.store.rows("SELECT id FROM messages"))
    wrong = TurnSettings("zero-shot", prompt_version=two[0].id)
    with pytest.raises(NotFoundError, match="no version of zero-shot"):
        room.send(LOCAL_USER, None, None, "Why?", wrong)
    service.go_back(room.store, LOCAL_USER, NAME)
    assert labels.in_production(room.store, NAME) is None
    with pytest.raises(NotFoundError, match="no strategy called answers"):
        room.send(LOCAL_USER, None, None, "Why?", TurnSettings(NAME))
    assert len(room.store.rows("SELECT id FROM messages")) == before
    assert room.store.rows("SELECT id FROM conversations") == []
