"""What every `hone` command shares: `--home`, `--json`, and how an error becomes an exit code.

Knows click and the home folder; knows no command.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from feedback import full_disc
from feedback.canonical import plain_json
from feedback.errors import FullDiscError, HoneError
from feedback.home import Home, find
from feedback.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_ERROR = 2


def home_option(command: Command) -> Command:
    """Adds `--home FOLDER`; the command receives `home: Home`."""
    return click.option(
        "--home",
        metavar="FOLDER",
        default=None,
        callback=lambda _context, _parameter, value: find(value),
        help="Where Hone keeps its data (default: HONE_HOME, else this system's per-user data folder).",
    )(command)


def json_option(command: Command) -> Command:
    """Adds `--json`; the command receives `as_json: bool` and passes it to `say`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object for a program.")(
        command
    )


def open_store(home: Home) -> Store:
    """The store of a home; both are made when missing. Raises HoneError when they cannot be."""
    try:
        return Store(home.store_file)
    except OSError as error:
        raise HoneError(
            f"The home folder {home.path} cannot be used.",
            f"The system says: {error.strerror or error}.",
            "Choose another with --home.",
        ) from error


def say(text: str, data: Any, as_json: bool) -> None:
    """Print `text` for a person, or `data` (dataclasses allowed at any depth) as one JSON object."""
    click.echo(json.dumps(data, default=plain_json, ensure_ascii=False, indent=2) if as_json else text)


class HoneGroup(click.Group):
    """A group of commands whose HoneErrors leave as one line on stderr and exit code 2; a full disc too,
    whoever finds it so.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HoneError as error:
            click.echo(f"Error: {error}", err=True)
        except OSError as error:
            if not full_disc.is_why(error):
                raise
            click.echo(f"Error: {FullDiscError()}", err=True)
        ctx.exit(EXIT_ERROR)
