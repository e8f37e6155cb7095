"""`hone chat` where something is wrong or narrow: the terminal, its encoding, what is typed, who answers."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import cli
from assistant.accounts import Access
from assistant.server import Site, make_app
from assistant.terminal.door import Growing
from assistant.terminal.remote import RemoteDoor
from assistant.terminal.screen import Screen
from assistant.terminal.talk import HELP
from assistant.turns import Turns
from feedback.errors import HoneError
from feedback.ids import MessageId
from tests.scripted import ScriptedEngine, answering
from tests.scripted import serving as on_a_socket
from tests.terminal import HONE, terminal
from tests.wire_server import WireServer, http, stream

EVENTS = "/api/replies/m_1/events?shape=text"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("你好 🙂 and so on.")


@pytest.fixture
def address(tmp_path: Path, engine: ScriptedEngine) -> Iterator[str]:
    store = answering(tmp_path, engine)
    with on_a_socket(make_app(Turns(store, engine), Access(store), Site(), [])) as served:
        yield served


@pytest.fixture
def wire() -> Iterator[WireServer]:
    made = WireServer()
    yield made
    made.close()


class Narrow(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def state(status: str, content: str = "") -> bytes:
    shown = {"status": status, "content": content, "reasoning": "", "steps": [], "waiting": 0, "error": ""}
    return b"data: " + json.dumps(shown | {"agreement": "", "notes": []}).encode() + b"\n\n"


# Who answers.


def test_a_reply_whose_server_is_killed_is_not_taken_for_a_whole_one(wire: WireServer) -> None:
    wire.says[EVENTS] = stream(state("writing", "The sky"))
    out = Narrow()
    with pytest.raises(HoneError, match="broke off in the middle of this reply"):
        Screen(out).follow(RemoteDoor(wire.url).watch(MessageId("m_1")))
    assert out.getvalue() == "The sky\n", "the error stands on a line of its own"


@pytest.mark.parametrize(
    "says", [b"data: {not json\n\n", b'data: {"status": "writing"}\n\n', b"data: []\n\n"]
)
def test_a_stream_of_something_else_is_said_to_be_that(wire: WireServer, says: bytes) -> None:
    wire.says[EVENTS] = stream(says)
    with pytest.raises(HoneError, match="is no Hone server"):
        list(RemoteDoor(wire.url).watch(MessageId("m_1")))


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (http(b"<html>hello</html>", "text/html"), "is no Hone server. It does not speak Hone's API"),
        (http(b"{}"), "is no Hone server"),
        (http(b"[]"), "is no Hone server"),
        (http(b'"x"'), "is no Hone server"),
        (http(b'{"strategies": []}'), "is no Hone server"),
        (http(b"\xff\xfe"), "is no Hone server"),
        (
            http(b"<html>bad</html>", status="502 Bad Gateway"),
            "answered with status 502. It gave no reason as Ho",
        ),
        (http(b"", status="401 X"), "Give an API key of this server in HONE_KEY"),
    ],
)
def test_what_is_no_hone_server_is_said_to_be_none(wire: WireServer, says: bytes, words: str) -> None:
    wire.says["/api/strategies"] = says
    answer = CliRunner().invoke(cli, ["chat", "--server", wire.url, "Why?"])
    assert (answer.exit_code, words in answer.stderr) == (2, True), answer.output


@pytest.mark.parametrize("wrong", ["http://[::1", "http://127.0.0.1:99999", "http://a b", "http://", "a:b:c"])
def test_an_address_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(HoneError, match="is no server's address"):
        RemoteDoor(wrong)


def test_a_key_that_cannot_be_sent_is_never_shown() -> None:
    with pytest.raises(HoneError, match="HONE_KEY is no API key") as caught:
        RemoteDoor("http://127.0.0.1:9", "sécret")
    assert "cret" not in str(caught.value)


def test_a_stop_that_does_not_reach_the_server_is_told_on_a_line_of_its_own() -> None:
    out = Narrow()
    screen = Screen(out)

    def cut() -> Iterator[Growing]:
        yield Growing("writing", "The sky")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen.follow(cut())
    screen.say("Error: The server does not answer.")
    assert out.getvalue() == "The sky\nError: The server does not answer.\n"


# What the other end can show.


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_cannot_show_becomes_question_marks(address: str, encoding: str) -> None:
    command = [sys.executable, "-c", HONE, "chat", "--server", address, "Why?"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"?? ? and so on.\n"), done.stderr


def test_without_any_output_the_question_is_asked_all_the_same(address: str, engine: ScriptedEngine) -> None:
    command = f"exec {sys.executable} -c '{HONE.replace(chr(39), chr(34))}' chat --server {address} Why? >&-"
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(engine.requests) == 1


def test_a_question_in_another_encoding_is_refused_in_words(address: str) -> None:
    command = [sys.executable, "-c", HONE, "chat", "--server", address]
    done = subprocess.run(command, input=b"caf\xe9?", capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Error: The question is not in UTF-8.")


@pytest.mark.parametrize("columns", [40, 20, 8])
def test_a_line_that_is_wiped_again_stands_in_one_row(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Narrow()
    waiting = Growing("writing", waiting=123456)
    counting = Growing("writing", agreement="你好 of 9 answers so far, and it goes on and on")
    Screen(out).follow([waiting, counting, Growing("complete", "Yes.")])
    lines = [one.partition("\x1b[0m")[0] for one in out.getvalue().split("\r\x1b[K\x1b[2m")[1:]]
    assert [one.startswith(("Busy", "你好")) for one in lines] == [True, True]
    wide = [sum(2 if character in "你好" else 1 for character in one) for one in lines]
    assert all(one < columns for one in wide)
    assert out.getvalue().endswith("\r\x1b[KYes.\n")


def test_the_help_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in HELP.splitlines()) <= 40


# What is typed.


def test_what_is_mistyped_is_told_and_the_talk_goes_on(address: str) -> None:
    with terminal("--server", address) as person:
        person.sees("> ")
        for typed, said in (
            ("/open", "Error: Which conversation\\? /history lists them"),
            ("/open ²", "Error: There is no such conversation"),
            ("/open 7", "Error: There is no conversation 7 in the list"),
            ("/hlep", "Error: There is no command /hlep"),
            ("/", "Error: There is no command /\\."),
            ("/up", "Error: There is no reply yet"),
            ("/strategy", "\\* zero-shot              Zero-shot\r\n  auto                   Auto"),
        ):
            person.type(typed)
            person.sees(said)
            person.sees("> ")
        person.type("/quit now")
        assert person.process.wait(30) == 0
