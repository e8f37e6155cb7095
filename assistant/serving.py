"""Opening a home for serving: the base, the engine, the store, the champion. Knows no page and no server."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import click

from assistant import base, registry
from assistant.base import Base, BaseChoice
from assistant.engines.choose import check_asked, choose, open_engine
from assistant.engines.interface import Engine
from feedback.command_line import open_store
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from feedback.whole_files import write_aside
from prompts import own


@dataclass(frozen=True)
class Serving:
    """A home whose base is loaded."""

    home: Home
    store: Store
    base: Base
    engine: Engine

    def load_champion(self) -> None:
        """Make the champion ready, so that nobody's first reply waits for it. HoneError: it cannot be loaded,
        or stands on another base.
        """
        self.engine.load(registry.champion(self.store))


def open_home(home: Home, choice: BaseChoice) -> Serving:
    """Load the base of `choice`. Says on stderr what was chosen and why. HoneError: it cannot be loaded."""
    check_asked(choice)
    store = open_store(home)
    chosen = base.resolve(home, choice)
    click.echo(f"Model: {chosen.title}. {chosen.why}", err=True)
    by = choose(chosen, choice, registry.champion_folder(home, store))
    click.echo(f"Engine: {by.why}", err=True)
    engine = open_engine(home, chosen, by, choice.remotes)
    own.register_all(store, home.prompts)
    registry.ensure_base(store, chosen, engine.template)
    return Serving(home, store, chosen, engine)


@dataclass(frozen=True)
class Running:
    """Who has a home open for serving: a process, and when it began, since numbers are used again.

    `address`: where it answers; "" for one that only its owner talks to. `ready`: whether it does already.
    """

    pid: int
    began: float
    address: str
    ready: bool = True


@contextmanager
def claimed(home: Home, address: str = "") -> Iterator[Callable[[], None]]:
    """While this process serves the home, say so in it: others talk to it instead of opening the home too.
    With an `address`, what is given must be called once the server is ready.

    Of several that claim at once one gets it; whoever is killed leaves nothing that holds. HoneError: another
    one has it.
    """
    import psutil

    mine = Running(os.getpid(), psutil.Process().create_time(), address, ready=not address)
    store = open_store(home)
    with store.transaction():  # between look and word nobody else has a say
        _check_free(home)
        _say(home, mine)
    store.close()
    try:
        yield lambda: _say(home, replace(mine, ready=True))
    finally:
        found = running(home)
        if found is not None and found.pid == mine.pid:
            home.server_file.unlink(missing_ok=True)


def _say(home: Home, mine: Running) -> None:
    write_aside(home.server_file, json.dumps(asdict(mine)))


def running(home: Home) -> Running | None:
    """Who has the home open for serving; None when nobody says so, or whoever said so is gone."""
    import psutil

    try:
        said = Running(**json.loads(home.server_file.read_text(encoding="utf-8")))
        return said if psutil.Process(said.pid).create_time() == said.began else None
    except (OSError, ValueError, TypeError, psutil.Error):
        return None


def _check_free(home: Home) -> None:
    """HoneError when a process has the home open for serving: a second one would end the first one's replies,
    which look like those of a server that was killed.
    """
    other = running(home)
    if other is None:
        return
    if other.address:
        runs = "runs" if other.ready else "is starting"
        raise HoneError(
            f"A server {runs} on this home already, at {other.address} (process {other.pid}).",
            "Two would stop each other's replies.",
            "Use it, end it first, or choose another home with --home.",
        )
    raise HoneError(
        f"A `hone chat` (process {other.pid}) has this home open.",
        "Two would stop each other's replies.",
        "End it, or start `hone serve` in its place, which any number can talk to.",
    )


def check_port(host: str, port: int) -> None:
    """HoneError when nobody could listen there: said before the model is loaded, not after."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise HoneError(
            f"Hone cannot listen on {host}, port {port}.",
            f"The system says: {error.strerror or error}.",
            "End what uses it, or choose another with --port.",
        ) from error
