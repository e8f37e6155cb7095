"""`hone keys`: make, list and revoke API keys. Knows click; the rules are in `keys`."""

import click

from assistant import keys
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.home import Home
from feedback.people import ROLES


@click.group("keys", cls=HoneGroup)
def keys_group() -> None:
    """Keys for programs: what they send as `Authorization: Bearer KEY` to /v1 and /api."""


@keys_group.command()
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="May be repeated."
)
@click.option("--user", "user_name", default=None, help="Whose key it is; needed once there are accounts.")
@home_option
@json_option
def add(name: str, roles: tuple[str, ...], user_name: str | None, home: Home, as_json: bool) -> None:
    """Make a key called NAME and show it: once, since only its hash is kept."""
    key, text = keys.add(open_store(home), name, roles, user_name)
    say(
        f"{text}\nThis is the key {key.name}; it acts for {key.user_name} as {', '.join(key.roles)}. "
        f"It is not shown again.\nEnd it: hone keys revoke {key.name}",
        {"id": key.id, "name": key.name, "user": key.user_name, "roles": list(key.roles), "key": text},
        as_json,
    )


@keys_group.command(name="list")
@home_option
@json_option
def listing(home: Home, as_json: bool) -> None:
    """Show the keys and whose they are, never the keys themselves."""
    found = keys.listing(open_store(home))
    lines = [
        f"{key.name}: {key.user_name}, {', '.join(key.roles)}, made {key.created_at[:10]}"
        f"{f', revoked {key.revoked_at[:10]}' if key.revoked_at else ''}"
        for key in found
    ]
    say(
        "\n".join(lines) or "There are no keys. Make one with: hone keys add NAME --role chatter",
        found,
        as_json,
    )


@keys_group.command()
@click.argument("name")
@home_option
@json_option
def revoke(name: str, home: Home, as_json: bool) -> None:
    """End the key called NAME; programs that use it are refused from now on."""
    keys.revoke(open_store(home), name)
    say(f"The key {name} opens nothing any more.", {"name": name, "revoked": True}, as_json)
