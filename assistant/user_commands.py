"""`hone users`: make, list and disable accounts. Knows click; the rules are in `accounts`."""

import click

from assistant import accounts
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.home import Home
from feedback.people import ROLES


@click.group(cls=HoneGroup)
def users() -> None:
    """People who may log in. Until there is one, everyone at this machine is the local user."""


@users.command()
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="May be repeated."
)
@click.password_option(help="Asked for when left out, so that it stays out of the shell's history.")
@home_option
@json_option
def add(name: str, roles: tuple[str, ...], password: str, home: Home, as_json: bool) -> None:
    """Make an account called NAME. From the first one on, every page asks for a login."""
    user = accounts.add(open_store(home), name, roles, password)
    say(
        f"{user.name} may now log in as {', '.join(sorted(user.roles))}. Every page now asks for a login.",
        {"id": user.id, "name": user.name, "roles": sorted(user.roles)},
        as_json,
    )


@users.command(name="list")
@home_option
@json_option
def listing(home: Home, as_json: bool) -> None:
    """Show the accounts and their roles."""
    found = accounts.listing(open_store(home))
    lines = [
        f"{user.name}: {', '.join(sorted(user.roles))}{' (disabled)' if user.disabled else ''}"
        for user in found
    ]
    say(
        "\n".join(lines) or "There are no accounts. Make one with: hone users add NAME --role chatter",
        [
            {"id": one.id, "name": one.name, "roles": sorted(one.roles), "disabled": one.disabled}
            for one in found
        ],
        as_json,
    )


@users.command()
@click.argument("name")
@home_option
@json_option
def disable(name: str, home: Home, as_json: bool) -> None:
    """Log NAME out everywhere and refuse further logins. What they wrote and voted stays."""
    user = accounts.disable(open_store(home), name)
    say(
        f"{user.name} is logged out and cannot log in any more.",
        {"id": user.id, "name": user.name, "disabled": True},
        as_json,
    )
