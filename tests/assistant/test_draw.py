"""Drawing label tasks: what is asked, what is kept, and what is left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assistant import draw, registry
from assistant.engines.interface import Completion, Request
from feedback import conversations, label
from feedback.conversations import Sampling, Turn
from feedback.errors import HoneError
from feedback.ids import LOCAL_USER, SYSTEM_USER
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering


class Batching(ScriptedEngine):
    """Says what `reply` makes of the request's number, counted from 0 over all batches."""

    def __init__(self, reply: Callable[[int], str]) -> None:
        super().__init__()
        self.reply = reply

    def batch(self, requests: list[Request], on_progress: object = None) -> list[Completion]:
        first = len(self.requests)
        self.requests += requests
        return [Completion(self.reply(first + at), 3, "stop") for at in range(len(requests))]


def drawn(home: Path, engine: Batching, prompts: list[draw.Prompt], each: int = 2) -> tuple[Store, list[str]]:
    store = answering(home, engine)
    return store, [str(task) for task in draw.draw_tasks(store, engine, draw.plainly(store, prompts, each))]


def test_each_prompt_becomes_a_task_with_as_many_replies_as_asked_for(tmp_path: Path) -> None:
    store, tasks = drawn(tmp_path, Batching(lambda at: f"Reply {at}."), ["What is tea?", "What is ink?"], 3)
    assert len(tasks) == 2
    task = label.next_task(store, LOCAL_USER)
    assert task is not None
    assert task.id == tasks[0]
    assert task.turns == (Turn("user", "What is tea?"),)
    assert {reply.content for reply in task.replies} == {"Reply 0.", "Reply 1.", "Reply 2."}


def test_a_drawn_reply_names_everything_that_made_it(tmp_path: Path) -> None:
    engine = Batching(lambda at: f"Reply {at}.")
    store, _ = drawn(tmp_path, engine, ["What is tea?"])
    task = label.next_task(store, LOCAL_USER)
    assert task is not None
    replies = [conversations.message(store, shown.reply_id) for shown in task.replies]
    asked = {request.sampling.seed: request for request in engine.requests}
    assert len(asked) == 2
    for reply in replies:
        assert reply.model_version_id == registry.champion(store).id
        assert reply.prompt_version_id
        assert (reply.strategy, reply.engine, reply.status) == ("zero-shot", "scripted", "complete")
        assert reply.prompt_text == asked[reply.seed].prompt
        assert "What is tea?" in str(reply.prompt_text)
        assert (reply.temperature, reply.max_tokens) == (draw.DRAWN.temperature, draw.DRAWN.max_tokens)
    owner = store.rows("SELECT user_id, origin FROM conversations")
    assert [tuple(row) for row in owner] == [(SYSTEM_USER, "drawn")]


def test_a_repeated_or_empty_reply_is_drawn_once_more(tmp_path: Path) -> None:
    engine = Batching(lambda at: ["Same.", " Same.\n", "Another."][at])
    _, tasks = drawn(tmp_path, engine, ["What is tea?"])
    assert len(tasks) == 1
    assert len(engine.requests) == 3
    assert len({request.sampling.seed for request in engine.requests}) == 3


def test_a_prompt_whose_replies_stay_alike_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = Batching(lambda at: "Same." if at in (0, 1, 4) else f"Reply {at}.")
    store, tasks = drawn(tmp_path, engine, ["What is tea?", "What is ink?"])
    assert len(tasks) == 1
    assert draw.already_drawn(store) == {"What is ink?"}
    assert store.rows("SELECT count(*) FROM messages")[0][0] == 3


def test_earlier_turns_are_part_of_the_task_and_name_no_version(tmp_path: Path) -> None:
    turns = (Turn("user", "What is tea?"), Turn("assistant", "A drink."), Turn("user", "From where?"))
    store, _ = drawn(tmp_path, Batching(lambda at: f"Reply {at}."), [turns])
    task = label.next_task(store, LOCAL_USER)
    assert task is not None
    assert task.turns == turns
    given = store.rows("SELECT model_version_id FROM messages WHERE content = 'A drink.'")
    assert [row["model_version_id"] for row in given] == [None]


def test_the_same_seed_draws_with_the_same_seeds(tmp_path: Path) -> None:
    seeds = []
    for name in ("one", "two"):
        engine = Batching(lambda at: f"Reply {at}.")
        store = answering(tmp_path / name, engine)
        questions = draw.plainly(store, ["What is tea?", "What is ink?"])
        draw.draw_tasks(store, engine, questions, Sampling(temperature=0.9, seed=5))
        seeds.append([request.sampling.seed for request in engine.requests])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 4


@pytest.mark.parametrize("each", [1, 5])
def test_fewer_than_two_or_more_than_four_replies_are_refused(tmp_path: Path, each: int) -> None:
    with pytest.raises(HoneError):
        drawn(tmp_path, Batching(lambda at: f"Reply {at}."), ["What is tea?"], each)


def test_drawing_without_chance_is_refused(tmp_path: Path) -> None:
    engine = Batching(lambda at: f"Reply {at}.")
    store = answering(tmp_path, engine)
    with pytest.raises(HoneError, match="temperature"):
        draw.draw_tasks(store, engine, draw.plainly(store, ["What is tea?"]), Sampling(temperature=0))
