"""`hone prompts list|show|diff|import|export|label`: the library of prompts from a terminal. Knows click.

Whoever may open the home may move its labels, as with `hone models promote`; over the network the pages and
routes ask for the role.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from feedback.command_line import home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER, PromptVersionId
from feedback.store import Store
from prompts import diff, files, labels, library, overview, own, service
from prompts.library import NewVersion, PromptVersion, VersionRecord
from prompts.service import Served


@click.command("list")
@click.argument("name", required=False)
@json_option
@home_option
def list_prompts(home: Home, name: str | None, as_json: bool) -> None:
    """The strategies, or every version of the strategy NAME, the newest first."""
    store = own.opened(home)
    if name is not None:
        library.check_known(store, name)
        found = library.versions(store, name)
        say(_versions_table(found), {"name": name, "versions": found}, as_json)
        return
    rows = overview.read(store)
    width = max(len(row.name) for row in rows)
    lines = [
        f"{row.name:<{width}}  {row.production or 'not in production':<17}  {row.title}"
        + (f"  (draft {row.draft})" if row.draft not in (None, row.production) else "")
        for row in rows
    ]
    following = "Next: `hone prompts list NAME` shows its versions, `hone prompts show NAME` its text."
    say("\n".join([*lines, "", following]), {"strategies": rows}, as_json)


@click.command("show")
@click.argument("version")
@json_option
@home_option
def show_prompt(home: Home, version: str, as_json: bool) -> None:
    """The files of a version, and where it came from.

    VERSION is an id or its start, NAME for what is in production, or NAME@draft.
    """
    store = own.opened(home)
    found = library.find(store, version)
    record = library.record(store, found.id)
    texts = [f"== {name}\n{text.rstrip()}" for name, text in found.strategy.files]
    text = "\n".join([_record_line(record), *texts])
    say(text, {**asdict(record), "files": dict(found.strategy.files)}, as_json)


@click.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
@home_option
def diff_prompts(home: Home, old: str, new: str, as_json: bool) -> None:
    """What the version NEW changes of the version OLD, as `diff -u` shows it.

    Each is an id or its start, NAME for what is in production, or NAME@draft.
    """
    store = own.opened(home)
    one, other = library.find(store, old), library.find(store, new)
    text = diff.unified(one.strategy, other.strategy, one.id, other.id)
    said = text or f"{one.id} and {other.id} hold the same text."
    say(said, {"old": one.id, "new": other.id, "files": diff.between(one.strategy, other.strategy)}, as_json)


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What changed, for those who read the list.")
@json_option
@home_option
def import_prompts(home: Home, path: Path, note: str, as_json: bool) -> None:
    """Keep the strategies at PATH as drafts: a .jinja file, a chain's folder, a zip, or a folder of many.

    All are kept, or none: a bad file is refused with its name and line.
    """
    store = own.opened(home)
    sources = files.read(path)
    with store.transaction():
        kept = [
            library.add(store, LOCAL_USER, NewVersion(one.name, one.files, note, _parent(store, one.name)))
            for one in sources
        ]
    lines = [f"{one.name}: {one.id} is the draft." for one in kept]
    following = "Next: try it on the page /prompts, or `hone prompts label NAME production NAME@draft`."
    say("\n".join([*lines, following]), {"imported": [_brief(one) for one in kept]}, as_json)


@click.command("export")
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
@click.option(
    "--to", "folder", default=".", type=click.Path(path_type=Path), help="The folder to write them under."
)
@json_option
@home_option
def export_prompts(home: Home, versions: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Write versions as files, the ones that `import` takes; without any, all that is in production.

    VERSION is an id or its start, NAME for what is in production, or NAME@draft.
    """
    store = own.opened(home)
    found = [library.find(store, one) for one in versions or library.names(store)]
    written = [(one, files.write(folder, one.strategy)) for one in found]
    say(
        "\n".join(f"{one.name} {one.id}: {place}" for one, place in written),
        {"exported": [{**_brief(one), "path": place} for one, place in written]},
        as_json,
    )


@click.command("label")
@click.argument("name")
@click.argument("label", type=click.Choice(["draft", "production"]))
@click.argument("version", required=False)
@click.option("--back", is_flag=True, help="Production only: take back the last move that still stands.")
@click.option("--note", default="", help="Why, for the audit log.")
@json_option
@home_option
def label_prompt(  # noqa: PLR0913 - click hands in each option by name
    home: Home, name: str, label: str, version: str | None, *, back: bool, note: str, as_json: bool
) -> None:
    """Put the label of the strategy NAME on VERSION. Production answers from the next reply on.

    VERSION is an id or its start, or NAME@draft. A move of production ends a trial of its strategy.
    """
    store = own.opened(home)
    if back == (version is not None) or (back and label != "production"):
        raise HoneError("Say which version, or --back for production.", todo="See --help.")
    if version is None:
        moved = service.go_back(store, LOCAL_USER, name, note)
        say(_served(moved), moved, as_json)
    elif label == "production":
        moved = service.put(store, LOCAL_USER, library.of(store, name, version).id, note)
        say(_served(moved), moved, as_json)
    else:
        found = library.of(store, name, version)
        labels.move_draft(store, LOCAL_USER, found.id)
        say(f"{found.id} is the draft of {name}.", {"name": name, "draft": found.id}, as_json)


def _parent(store: Store, name: str) -> PromptVersionId | None:
    """What an imported version is most likely made from: what is in production under its name."""
    return labels.in_production(store, name)


def _brief(version: PromptVersion) -> dict[str, str]:
    return {"name": version.name, "id": version.id}


def _served(moved: Served) -> str:
    ended = " The trial is ended." if moved.ended_trial else ""
    if moved.version_id is None:
        return f"{moved.name} is in production no more.{ended}"
    was = f" It was {moved.before}." if moved.before and moved.before != moved.version_id else ""
    return f"{moved.name} is answered by {moved.version_id} from the next reply on.{was}{ended}"


def _versions_table(found: Sequence[VersionRecord]) -> str:
    return "\n".join([*map(_record_line, found), "", "Next: `hone prompts show VERSION`, or `diff OLD NEW`."])


def _record_line(record: VersionRecord) -> str:
    when, on = record.created_at[:16].replace("T", " "), " ".join(record.labels)
    parts = [record.id, when, record.made_by, on, record.note]
    return "  ".join(part for part in parts if part)


COMMANDS = (list_prompts, show_prompt, diff_prompts, import_prompts, export_prompts, label_prompt)
"""For `prompts_group.add_command` of each, where the commands are put together."""
