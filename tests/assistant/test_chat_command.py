"""`hone chat` in a real terminal, against a real server; one-shot, piped, and on a home of its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from app import cli
from assistant import registry, serving
from assistant.accounts import Access
from assistant.base import Base
from assistant.server import Site, make_app
from assistant.terminal.door import Growing
from assistant.terminal.screen import Screen
from assistant.turns import Turns
from feedback import conversations, demonstrations, ratings, votes
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering
from tests.scripted import serving as on_a_socket
from tests.served import free_port, served
from tests.terminal import HONE, terminal


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("The sky scatters blue light.")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def address(store: Store, engine: ScriptedEngine) -> Iterator[str]:
    with on_a_socket(make_app(Turns(store, engine), Access(store), Site(), [])) as served:
        yield served


def once(*arguments: str, piped: str = "", **environment: str) -> Result:
    """One-shot, without a terminal."""
    return CliRunner().invoke(cli, ["chat", *arguments], input=piped, env=environment)


def in_a_process(*arguments: str, piped: str = "") -> "subprocess.CompletedProcess[str]":
    """The same, as a shell runs it."""
    command = [sys.executable, "-c", HONE, "chat", *arguments]
    return subprocess.run(
        command, input=piped, capture_output=True, text=True, timeout=240, check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def replies(store: Store) -> list[conversations.Message]:
    rows = store.rows("SELECT id FROM messages WHERE role = 'assistant' ORDER BY rowid")
    return [conversations.message(store, row["id"]) for row in rows]


def test_a_person_chats_votes_and_writes_a_better_answer(address: str, store: Store) -> None:
    with terminal("--server", address) as person:
        person.sees("scripted answers")
        person.type("Why is the sky blue?")
        person.sees("The sky scatters blue light\\.\r\n> ")
        person.type("/up clear and short")
        person.sees("Kept")
        person.type("/regenerate")
        person.sees("The sky scatters")
        person.sees("> ")
        person.type("/down")
        person.sees("Kept")
        person.type("/better")
        person.sees("line with only a dot")
        person.type("Blue light\nscatters most.\n.")
        person.sees("Kept: your better")
        person.type("And \\\nat night?")
        person.sees("The sky scatters")
        person.sees("> ")
        assert person.leave() == 0
    first, again, after = replies(store)
    thumbs = [ratings.of_reply(store, LOCAL_USER, reply.id) for reply in (first, again)]
    assert [(thumb.value, thumb.reason) for thumb in thumbs if thumb] == [(1, "clear and short"), (-1, "")]
    better = demonstrations.of_reply(store, LOCAL_USER, again.id)
    assert better is not None
    assert better.content == "Blue light\nscatters most."
    assert conversations.path(store, after.id)[-2].content == "And \nat night?"
    assert again.parent_id == first.parent_id
    assert [one.title for one in conversations.listing(store, LOCAL_USER)] == ["Why is the sky blue?"]


def test_a_blind_comparison_tells_the_writers_only_after_the_vote(address: str, store: Store) -> None:
    with terminal("--server", address) as person:
        person.type("Why?")
        person.sees("The sky scatters")
        person.type("/compare")
        person.sees("--- 1 ---")
        person.sees("--- 2 ---")
        person.sees("Which is better")
        assert "written by" not in person.shown
        person.type("3")
        person.sees("Which is better")
        person.type("tie")
        person.sees("1 was written by scripted, 2 by scripted")
    (vote,) = store.rows("SELECT id FROM votes")
    assert votes.get(store, vote["id"]).ranks == (1, 1)


def test_the_terminal_says_how_many_agreed_and_what_was_asked_again(
    address: str, engine: ScriptedEngine
) -> None:
    engine.says = "Thinking: so. Answer: 7"
    with terminal("--server", address, "--strategy", "self-consistency") as person:
        person.type("Why?")
        person.sees("Thinking: so\\.")
        person.sees("9 of 9 agreed")
        engine.says = "word " * 70
        person.type("/strategy meta")
        person.type("Why?")
        person.sees("\\(asked again 2 times; its text has 70 words, more than 60; went on to reply\\)")


def test_ctrl_c_stops_the_model_and_stays_ctrl_d_leaves(
    address: str, store: Store, engine: ScriptedEngine
) -> None:
    engine.hold()
    with terminal("--server", address) as person:
        person.type("Why?")
        person.sees("The ")
        person.press("Ctrl-C")
        person.sees("\\[stopped\\]")
        person.sees("> ")
        assert engine.requests[0].stop.is_set()
        person.press("Ctrl-C")
        person.sees("Ctrl-D leaves")
        engine.go_on()
        person.type("Again?")
        person.sees("The sky scatters blue light")
        person.sees("> ")
        assert person.leave() == 0
    assert [(reply.status, reply.content.strip()) for reply in replies(store)] == [
        ("stopped", "The"),
        ("complete", "The sky scatters blue light."),
    ]


def test_history_and_strategies_are_chosen_by_command(address: str, store: Store) -> None:
    with terminal("--server", address, "--strategy", "few-shot") as person:
        person.type("Tell me of volcanoes")
        person.sees("The sky scatters")
        person.type("/strategy zero-shot")
        person.sees("\\* zero-shot")
        person.type("/new")
        person.sees("A new conversation")
        person.type("Tell me of tea")
        person.sees("The sky scatters")
        person.type("/history volc")
        person.sees("1 .*Tell me of volcanoes")
        person.type("/open 1")
        person.sees("> Tell me of volcanoes")
        person.type("/nonsense")
        person.sees("Error: There is no command /nonsense")
        person.type("/strategy telepathy")
        person.sees("Error: There is no strategy telepathy")
        person.type("//slash")
        person.sees("The sky scatters")
        person.sees("> ")
    assert [reply.strategy for reply in replies(store)] == ["few-shot", "zero-shot", "zero-shot"]
    assert [item.content for item in conversations.path(store, replies(store)[2].id)][::2] == [
        "Tell me of volcanoes",
        "/slash",
    ]


def test_the_last_conversation_goes_on(address: str, store: Store) -> None:
    assert once("--server", address, "First?").stdout == "The sky scatters blue light.\n"
    told = json.loads(once("--server", address, "--continue", "--json", "Second?").stdout)
    assert (told["status"], told["content"]) == ("complete", "The sky scatters blue light.")
    third = once("--server", address, "--conversation", told["conversation_id"], piped="Third?")
    assert third.stdout == "The sky scatters blue light.\n"
    path = conversations.path(store, replies(store)[-1].id)
    assert [message.content for message in path][::2] == ["First?", "Second?", "Third?"]


def test_piped_text_is_added_to_the_question(address: str, engine: ScriptedEngine) -> None:
    answer = in_a_process("--server", address, "Say it shorter:", piped="A long text.\n")
    assert (answer.returncode, answer.stdout) == (0, "The sky scatters blue light.\n")
    assert "Say it shorter:\n\nA long text." in engine.requests[-1].prompt


@pytest.mark.parametrize(
    ("arguments", "piped", "said"),
    [
        (["--server", "http://127.0.0.1:9", "Why?"], "", "does not answer"),
        (["--server", "ftp://x", "Why?"], "", "no server's address"),
        (["--server", "ADDRESS", "BREAK"], "", "The model broke off"),
        (["--server", "ADDRESS", "--strategy", "telepathy", "Why?"], "", "no strategy telepathy"),
        (["--server", "ADDRESS", "--conversation", "c_none", "Why?"], "", "no such conversation"),
        (["--server", "ADDRESS", "--continue", "Why?"], "", "no conversation to go on with"),
        (["--server", "ADDRESS"], "  ", "The question is empty"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(
    address: str, arguments: list[str], piped: str, said: str
) -> None:
    answer = once(*[address if one == "ADDRESS" else one for one in arguments], piped=piped)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_mistake_in_a_process_is_one_sentence_and_no_traceback() -> None:
    answer = in_a_process("--server", "ftp://x", "Why?")
    assert answer.returncode == 2
    assert "no server's address" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_server_with_accounts_asks_for_a_key(address: str, store: Store) -> None:
    from assistant import accounts

    accounts.add(store, "ann", ["chatter"], "four random words here")
    answer = once("--server", address, "Why?", HONE_KEY="nonsense")
    assert answer.exit_code == 2
    assert "HONE_KEY" in answer.stderr


def test_the_server_that_runs_on_the_home_is_found(address: str, store: Store, tmp_path: Path) -> None:
    with serving.claimed(Home(tmp_path), address) as ready:
        early = in_a_process("--home", str(tmp_path), "Why?")
        assert (early.returncode, "A server is starting on this home" in early.stderr) == (2, True)
        ready()
        assert in_a_process("--home", str(tmp_path), "Why?").stdout == "The sky scatters blue light.\n"
    assert serving.running(Home(tmp_path)) is None
    with serving.claimed(Home(tmp_path)):
        refused = in_a_process("--home", str(tmp_path), "Why?")
        assert (refused.returncode, "has this home open" in refused.stderr) == (2, True)


def test_without_any_input_a_question_is_asked_for(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", HONE, "chat", "--home", str(tmp_path)])
    closed = ["sh", "-c", f"exec {command} <&-"]
    done = subprocess.run(closed, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (2, "Error: The question is empty. Add it, or pipe it in.\n")


def test_hone_serve_says_in_its_home_where_it_is(tiny_base: Base, tmp_path: Path) -> None:
    with served(tiny_base, tmp_path) as server:
        answer = in_a_process("--home", str(tmp_path), "--json", "Why?")
        assert json.loads(answer.stdout)["status"] == "complete"
        assert "Model:" not in answer.stderr, "the server answers; no second model is loaded"
        found = serving.running(Home(tmp_path))
        assert found is not None
        assert found.address == server.address
    assert serving.running(Home(tmp_path)) is None


def test_a_second_server_on_a_home_is_refused_and_ends_no_reply(
    address: str, store: Store, engine: ScriptedEngine, tmp_path: Path
) -> None:
    engine.hold()
    chat = httpx.Client(base_url=f"{address}/api", timeout=20)
    begun = chat.post("/conversations", json={"message": {"content": "Why?"}}).raise_for_status().json()
    with serving.claimed(Home(tmp_path), address):
        command = [sys.executable, "-c", HONE, "serve", "--home", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (second.returncode, address in second.stderr) == (2, True), second.stderr
        with pytest.raises(HoneError, match="already"), serving.claimed(Home(tmp_path), "http://x"):
            pass
        found = serving.running(Home(tmp_path))
        assert found is not None
        assert found.address == address
    assert conversations.message(store, begun["reply_id"]).status == "writing"
    engine.go_on()


def test_of_servers_that_start_at_once_on_a_home_one_loads_the_model(tiny_base: Base, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HONE, "serve", "--home", str(tmp_path), "--port"]
    started = [
        subprocess.Popen(
            [*command, str(free_port()), "--model", str(tiny_base.folder), "--quantize", "none"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        until = time.monotonic() + 120
        while sum(one.poll() is None for one in started) > 1:
            assert time.monotonic() < until, "more than one of them runs"
            time.sleep(0.1)
        refused = [one for one in started if one.poll() is not None]
        for one in refused:
            said = one.communicate()[1]
            assert (one.returncode, "on this home already" in said, "Model:" in said) == (2, True, False)
        assert len(refused) == 2
    finally:
        for one in started:
            with one:
                one.kill()
    assert serving.running(Home(tmp_path)) is None, "what a killed one leaves holds nothing"


def test_ctrl_c_ends_hone_serve_without_a_complaint(tiny_base: Base, tmp_path: Path) -> None:
    with served(tiny_base, tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


def test_a_home_whose_server_died_is_free(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code = f"from assistant import serving; from feedback.home import find; import os, signal\n\
with serving.claimed(find({str(tmp_path)!r}), 'http://x'): os.kill(os.getpid(), signal.SIGKILL)"
    dead = subprocess.run([sys.executable, "-c", code], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert home.server_file.exists()
    assert serving.running(home) is None


def test_a_replys_control_characters_do_not_reach_the_terminal(capsys: Any) -> None:
    screen = Screen()
    screen.follow([Growing("writing", "red \x1b[31m"), Growing("complete", "red \x1b[31mtext\x07\x9b2J\n")])
    assert capsys.readouterr().out == "red [31mtext2J\n"


@pytest.mark.model
def test_without_a_server_the_home_answers_itself(real_base: Base, tmp_path: Path) -> None:
    arguments = ["--home", str(tmp_path), "--model", str(real_base.folder), "--quantize", "none"]
    arguments += ["--json", "Say hello."]
    told = json.loads(in_a_process(*arguments).stdout)
    assert told["status"] == "complete"
    assert told["content"].strip()
    kept = Store(tmp_path / "hone.db")
    assert replies(kept)[0].content == told["content"]
    assert replies(kept)[0].model_version_id == registry.champion(kept).id
    assert serving.running(Home(tmp_path)) is None
