"""`hone models list` and `hone models clean`: which model versions there are, and what they take of the disc.

Knows click; holds no rule.

The group `models` is offered to `training.commands`, which adds `promote` and `rollback`.
"""

from collections.abc import Sequence
from dataclasses import asdict

import click

from assistant import registry, served_files
from assistant.registry import ModelVersion
from assistant.served_files import Cleared
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.errors import NotFoundError
from feedback.home import Home
from feedback.ids import ModelVersionId
from feedback.store import Store


@click.group(cls=HoneGroup)
def models() -> None:
    """Model versions: list them, let another one answer."""


@models.command("list")
@json_option
@home_option
def list_models(home: Home, as_json: bool) -> None:
    """All model versions, the oldest first; the champion is marked."""
    store = open_store(home)
    versions, champion_id = registry.listing(store), _champion_id(store)
    data = {"champion": champion_id, "versions": versions}
    say(_table(versions, champion_id), data, as_json)


@models.command("clean")
@json_option
@home_option
def clean_models(home: Home, as_json: bool) -> None:
    """Delete the 8-bit weights that versions answer with; they are computed again when asked for.

    No version is lost, and a server that runs goes on answering.
    """
    cleared = served_files.clear(home)
    say(_cleaned(home, cleared), asdict(cleared), as_json)


def _cleaned(home: Home, cleared: Cleared) -> str:
    done = f"{cleared.files} files, {cleared.size_bytes / 1e9:.2f} GB, are gone from {home.served}."
    if not cleared.in_use:
        return done
    return (
        f"{done}\n{len(cleared.in_use)} more stay: a running server reads them. "
        "Next: end `hone serve`, then `hone models clean` once more."
    )


def _champion_id(store: Store) -> ModelVersionId | None:
    try:
        return registry.champion(store).id
    except NotFoundError:
        return None


def _table(versions: Sequence[ModelVersion], champion_id: ModelVersionId | None) -> str:
    if not versions:
        return "No model version yet.\nNext: `hone serve` makes the base the first champion."
    width = max(len(version.name) for version in versions)
    lines = [
        f"{'*' if version.id == champion_id else ' '} {version.name:<{width}}  {version.id}"
        f"  {version.created_at[:16].replace('T', ' ')}  {_origin(version)}"
        for version in versions
    ]
    return "\n".join([*lines, "", "* answers. Next: `hone models promote NAME`, or `hone evaluate NAME`."])


def _origin(version: ModelVersion) -> str:
    if version.adapter_dir is None:
        return "the base itself"
    return f"adapter on {version.base_id}" + (f", run {version.run_id}" if version.run_id else "")
