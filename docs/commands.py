"""Writes docs/commands.md: every `hone` command with its own help, from the commands themselves.

`python docs/commands.py` rewrites it; with `--check` it only says by its exit code whether it is true.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from generated import keep

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "commands.md"
sys.path.insert(0, str(ROOT))

from app import cli  # noqa: E402 - a script outside the package finds it only now

WIDTH = 96


def every(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """The help of `command` and of all below it, groups without their lists of options."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    context.max_content_width = WIDTH
    if not isinstance(command, click.Group):
        yield f"## {context.command_path}\n```\n{command.get_help(context)}\n```\n"
        return
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        if found is not None:
            yield from every(found, below, context)


def page() -> str:
    """All of them, under one heading."""
    head = "# Commands\nWritten by `python docs/commands.py` from their own help; a test keeps it true.\n"
    return "\n".join([head, *every(cli, "hone")])


if __name__ == "__main__":
    sys.exit(keep(PAGE, page()))
