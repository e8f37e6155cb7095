"""`hone models list`, `clean` and `merge`: which model versions there are, and their files on the disc.

Knows click; holds no rule.

The group `models` is offered to `training.commands`, which adds `promote` and `rollback`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from assistant import base as bases
from assistant import registry, served_files
from assistant.adapters import merged_folder
from assistant.registry import ModelVersion
from assistant.served_files import Cleared
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.errors import HoneError, NotFoundError
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


@models.command("merge")
@click.argument("version")
@click.option("--to", "folder", required=True, type=Path, help="A folder that does not exist yet.")
@click.option(
    "--model", default="embedded", show_default=True, help="The base: embedded, a folder or a Hub id."
)
@json_option
@home_option
def merge_model(home: Home, as_json: bool, version: str, folder: Path, model: str) -> None:
    """Write VERSION as a model folder of its own, its adapter merged into the base's weights.

    LoRA and its kin, IA3 and trained weights can be merged; bottlenecks and soft prompts cannot.
    """
    found = registry.get(open_store(home), version)
    registry.check_files(home, found)
    base = bases.resolve(home, bases.BaseChoice(model, "none"))
    quantised = found.base_id.removeprefix(base.id)  # "", or how the base was quantised while it trained
    if quantised not in ("", "+nf4", "+int8"):
        raise HoneError(
            f"{found.name} cannot be merged into {base.title}.",
            f"It stands on {found.base_id}.",
            "Name its base with --model.",
        )
    size = merged_folder.write(base, found.name, registry.folder(home, found), folder)
    told = f"{found.name} is in {folder}, {size / 1e6:.0f} MB, in {base.dtype}."
    if quantised:
        told += f"\nIt was trained on {quantised[1:]}; these weights differ by what that rounds."
    say(
        f"{told}\nNext: hone serve --model {folder} --home ANOTHER",
        {"folder": folder, "bytes": size},
        as_json,
    )


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
