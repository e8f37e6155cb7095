"""`hone chat`: talk in the terminal. Chooses the door, a server or a home; holds no rule of a talk."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, cast

import click

from assistant.base import BaseChoice, Quantize
from assistant.terminal.door import Door
from assistant.terminal.remote import RemoteDoor
from assistant.terminal.screen import Screen
from assistant.terminal.talk import Talk, check_strategy
from feedback.command_line import home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import ConversationId

KEY = "HONE_KEY"
INTERRUPTED = 130


@click.command()
@click.argument("question", required=False)
@click.option("--server", metavar="URL", help=f"A running server; its API key, if it asks for one, in {KEY}.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with your last conversation.")
@click.option("--conversation", metavar="ID", help="Go on with this conversation.")
@click.option("--strategy", metavar="NAME", help="How questions are put (default: the server's first).")
@click.option("--model", default="embedded", show_default=True, help="Without a server: as for `hone serve`.")
@click.option(
    "--quantize", default="auto", show_default=True, type=click.Choice(["auto", "nf4", "int8", "none"])
)
@json_option
@home_option
def chat(home: Home, question: str | None, as_json: bool, **how: Any) -> None:
    """Chat in the terminal, or answer one QUESTION.

    Talks to the server that runs on the home, or to --server; without one it loads the model itself. Text
    that is piped in is the question, or is added to it. /help, once inside, lists what can be typed.
    """
    asked = _question(question)
    if asked is None and as_json:
        raise HoneError("--json is for one question.", todo="Add the question, or pipe it in.")
    with _door(home, how) as door:
        ways = door.ways()
        if how["strategy"]:
            check_strategy(door, how["strategy"])
        screen = Screen(io.StringIO() if as_json or sys.stdout is None else sys.stdout)
        talk = Talk(door, screen, _read, how["strategy"] or ways[0].name)
        before = how["conversation"] or (talk.last_conversation() if how["go_on"] else None)
        shown = talk.enter(ConversationId(before)) if before else ()
        if asked is not None:
            _once(talk, asked, as_json)
            return
        screen.say(f"{door.model()} answers. /help lists the commands, Ctrl-D leaves.")
        talk.show_end(shown)
        talk.loop()


def _question(given: str | None) -> str | None:
    """The question of a one-shot; None: a person sits at the terminal."""
    person = sys.stdin is not None and sys.stdin.isatty()
    piped = "" if person or sys.stdin is None else sys.stdin.read().strip()
    asked = "\n\n".join(part for part in ((given or "").strip(), piped) if part)
    if not asked and (given is not None or not person):
        raise HoneError("The question is empty.", todo="Add it, or pipe it in.")
    if asked != asked.encode("utf-8", "replace").decode():
        raise HoneError(
            "The question is not in UTF-8.", todo="Convert it, with `iconv -t utf-8`, for example."
        )
    return asked or None


def _once(talk: Talk, question: str, as_json: bool) -> None:
    """One answer: the text alone for a person or a pipe, everything about it for a program."""
    state = talk.ask(question)
    if as_json:
        ids = {"conversation_id": talk.conversation_id, "reply_id": talk.leaf_id, "strategy": talk.strategy}
        say("", ids | asdict(state), as_json=True)
    if state.status == "failed":
        raise HoneError(state.error)
    if state.status == "stopped":
        raise click.exceptions.Exit(INTERRUPTED)


@contextmanager
def _door(home: Home, how: dict[str, Any]) -> Iterator[Door]:
    """The server that was named, else the one that runs on the home, else the home itself."""
    key = os.environ.get(KEY, "")
    if how["server"]:
        yield RemoteDoor(how["server"], key)
        return
    from assistant import serving

    running = serving.running(home)
    if running is not None and running.address:
        if not running.ready:
            raise HoneError(
                f"A server is starting on this home (process {running.pid}).",
                "It loads the model.",
                "Ask again in some seconds.",
            )
        yield RemoteDoor(running.address, key)
        return
    from assistant.terminal.local import LocalDoor

    with serving.claimed(home):
        opened = serving.open_home(home, BaseChoice(how["model"], cast(Quantize, how["quantize"])))
        door = LocalDoor(opened.store, opened.engine)
        try:
            opened.load_champion()
            yield door
        finally:
            door.close()


def _read(prompt: str) -> str:
    """A line from the person, with the arrow keys where this system has readline."""
    with suppress(ImportError):
        import readline  # noqa: F401 - its presence is its effect
    return input(prompt)
