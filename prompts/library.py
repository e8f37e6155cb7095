"""Versions of strategies in the store: immutable, named by their content. Knows no model.

Owns prompt_versions. Those that came with Hone, those of the home's folder and those that people made lie
side by side and differ in nothing but their origin; which of them answers is the labels' business
(`prompts.labels`).
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from feedback import audit
from feedback.errors import HoneError, NotFoundError
from feedback.ids import PromptVersionId, UserId
from feedback.store import Store, now
from prompts import labels
from prompts.labels import Label
from prompts.plain import AUTO, SHIPPED, ZERO_SHOT
from prompts.strategy import Strategy, load, parse

Origin = Literal["shipped", "own", "person", "search"]
"""`shipped` and `own`: from a file, of Hone or of the home's folder `prompts`."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
MOST_FILES = 32
MOST_CHARS = 400_000


@dataclass(frozen=True)
class PromptVersion:
    """One text of a strategy; `id` says exactly which bytes."""

    id: PromptVersionId
    name: str
    strategy: Strategy


@dataclass(frozen=True)
class VersionRecord:
    """Where a version came from. `author`: a person's name as it is today, "" for what came from a file.

    `parent_id`: the version that it was made from, where that is known.
    """

    id: PromptVersionId
    name: str
    origin: Origin
    author: str
    note: str
    parent_id: PromptVersionId | None
    created_at: str
    labels: tuple[Label, ...]

    @property
    def made_by(self) -> str:
        """Whose version it is, in words."""
        return {
            "shipped": "came with Hone",
            "own": "from the home's folder prompts",
            "person": f"by {self.author}",
            "search": f"found by a search for {self.author}",
        }[self.origin]


@dataclass(frozen=True)
class NewVersion:
    """A version to keep. `files`: file name to text, as `prompts.strategy.parse` takes them."""

    name: str
    files: Mapping[str, str]
    note: str = ""
    parent_id: PromptVersionId | None = None
    origin: Origin = "person"


def register_shipped(store: Store, folder: Path = SHIPPED, note: str = "") -> list[PromptVersion]:
    """Make the shipped strategies known; each start calls it, and a second call changes nothing. `note`: what
    their new versions are for, where that is not to chat.

    A changed file becomes a new version, and the production label follows it unless a person placed it.
    Raises HoneError, with nothing written, when a template cannot be used.
    """
    return register(store, load(folder), "shipped", note)


def register(
    store: Store, strategies: Mapping[str, Strategy], origin: Literal["shipped", "own"], note: str = ""
) -> list[PromptVersion]:
    """`register_shipped` for strategies that are read already."""
    with store.transaction():
        return [_register(store, strategy, origin, note) for strategy in strategies.values()]


def _register(store: Store, strategy: Strategy, origin: Origin, note: str) -> PromptVersion:
    version = version_of(strategy)
    _insert(store, version, NewVersion(strategy.name, dict(strategy.files), note, origin=origin), None)
    labels.follow_file(store, strategy.name, version.id)
    return version


def add(store: Store, user_id: UserId, new: NewVersion) -> PromptVersion:
    """Keep a version, and put the draft label on it. The same text again is the same version.

    HoneError, with file and line, for a source that cannot be used; NotFoundError for an unknown parent.
    """
    check_name(new.name)
    note = labels.checked_note(new.note)
    version = version_of(parse(new.name, check_files(new.files)))
    with store.transaction():
        if new.parent_id is not None:
            labels.name_of(store, new.parent_id)
        if _insert(store, version, new, user_id):
            audit.record(
                store, user_id, "prompt.add", version.id,
                name=new.name, origin=new.origin, parent=new.parent_id, note=note,
            )  # fmt: skip
        labels.move_draft(store, user_id, version.id)
    return version


def check_name(name: str) -> None:
    """HoneError for what cannot name a strategy, a file and an address alike."""
    if not NAME.fullmatch(name):
        raise HoneError(
            f"{name[:80]!r} cannot be a strategy's name.",
            "A name has up to 60 small letters, digits and hyphens, and no hyphen first.",
            "Choose another, such as short-answers.",
        )
    if name == AUTO:
        raise HoneError(
            f"A strategy cannot be called {AUTO}.",
            "That name leaves the choice between the strategies to Hone.",
            "Choose another.",
        )


def check_files(files: Mapping[str, str]) -> Mapping[str, str]:
    """The same files. HoneError when there are more, or longer ones, than any strategy needs."""
    chars = sum(len(text) for text in files.values())
    if len(files) > MOST_FILES or chars > MOST_CHARS:
        raise HoneError(
            "This strategy is too large.",
            f"It has {len(files)} files with {chars} characters; {MOST_FILES} and {MOST_CHARS} are allowed.",
            "Leave out what it does not need.",
        )
    return files


def version_of(strategy: Strategy) -> PromptVersion:
    """The version that this text is, in the store or not."""
    return PromptVersion(PromptVersionId(f"pv_{strategy.sha256[:12]}"), strategy.name, strategy)


def _insert(store: Store, version: PromptVersion, new: NewVersion, author_id: UserId | None) -> bool:
    """Whether it was not there yet."""
    changed = store.execute(
        """
        INSERT INTO prompt_versions
          (id, sha256, name, source_json, origin, author_id, created_at, note, parent_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING
        """,
        *(version.id, version.strategy.sha256, version.name, json.dumps(dict(version.strategy.files))),
        *(new.origin, author_id, now(), new.note.strip(), new.parent_id),
    )
    return changed > 0


def production(store: Store, name: str) -> PromptVersion:
    """The version of `name` that chats use. Raises NotFoundError."""
    version_id = labels.in_production(store, name)
    if version_id is None:
        raise _unknown(name, names(store))
    return get(store, version_id)


def _unknown(name: str, known: Iterable[str]) -> NotFoundError:
    why = f"Known are: {', '.join(known) or 'none'}."
    if name == AUTO:
        why = f"It has no text: it takes one of the strategies at each question. {why}"
    return NotFoundError(f"There is no strategy called {name}.", why, "Choose one of these.")


def get(store: Store, version_id: PromptVersionId) -> PromptVersion:
    """The version with this id, as it was on the day it was made. Raises NotFoundError."""
    row = store.row("SELECT id, name, source_json FROM prompt_versions WHERE id = ?", version_id)
    if row is None:
        raise NotFoundError(f"There is no prompt version {version_id}.")
    return _read(row)


def _read(row: sqlite3.Row) -> PromptVersion:
    return PromptVersion(row["id"], row["name"], _parsed(row["name"], row["source_json"]))


def names(store: Store) -> list[str]:
    """The strategies that have a production version, in the order of lists."""
    rows = store.rows("SELECT name FROM prompt_labels WHERE label = 'production'")
    return ordered(row["name"] for row in rows)


def all_names(store: Store) -> list[str]:
    """Every strategy that has any version, in the order of lists."""
    return ordered(row["name"] for row in store.rows("SELECT DISTINCT name FROM prompt_versions"))


def serving(store: Store) -> list[PromptVersion]:
    """Every version in production, in the order of lists."""
    rows = store.rows(
        "SELECT v.id, v.name, v.source_json FROM prompt_labels l JOIN prompt_versions v"
        " ON v.id = l.prompt_version_id WHERE l.label = 'production'"
    )
    found = {row["name"]: row for row in rows}
    return [_read(found[name]) for name in ordered(found)]


def ordered(found: Iterable[str]) -> list[str]:
    """Names of strategies in the order of lists: zero-shot first, the rest by name."""
    return sorted(found, key=lambda name: (name != ZERO_SHOT, name))


RECORDS_SQL = """
SELECT v.id, v.name, v.origin, coalesce(u.name, '') AS author, v.note, v.parent_id, v.created_at,
  (SELECT group_concat(label, ' ') FROM prompt_labels l WHERE l.prompt_version_id = v.id) AS labels
FROM prompt_versions v LEFT JOIN users u ON u.id = v.author_id
WHERE {where} ORDER BY v.created_at DESC, v.rowid DESC
"""


def record(store: Store, version_id: PromptVersionId) -> VersionRecord:
    """Where one version came from. Raises NotFoundError."""
    found = _records(store, "v.id = ?", version_id)
    if not found:
        raise NotFoundError(f"There is no prompt version {version_id}.")
    return found[0]


def versions(store: Store, name: str | None = None) -> list[VersionRecord]:
    """Every version of a strategy, or of all, the newest first."""
    return _records(store, "?1 IS NULL OR v.name = ?1", name)


def _records(store: Store, where: str, value: str | None) -> list[VersionRecord]:
    return [
        VersionRecord(**{**dict(row), "labels": tuple(sorted((row["labels"] or "").split()))})
        for row in store.rows(RECORDS_SQL.format(where=where), value)
    ]


def find(store: Store, said: str) -> PromptVersion:
    """The version that a person means: an id or its start (`pv_1a2b`), a strategy's name for what is in
    production (`few-shot`), `few-shot@draft` for its draft. Raises NotFoundError, HoneError for several.
    """
    if said.startswith("pv_"):
        rows = store.rows(
            "SELECT id FROM prompt_versions WHERE substr(id, 1, ?) = ? LIMIT 2", len(said), said
        )
        if len(rows) > 1:
            raise HoneError(f"{said} begins more than one version.", todo="Write more of it.")
        return get(store, PromptVersionId(rows[0]["id"] if rows else said))
    name, _, label = said.partition("@")
    if label not in ("", "draft", "production"):
        raise HoneError(f"There is no label {label}.", todo="Write NAME, NAME@draft or NAME@production.")
    if label != "draft":
        return production(store, name)
    version_id = labels.draft(store, name)
    if version_id is None:
        raise NotFoundError(f"{name} has no draft.", todo="Save or import a version of it first.")
    return get(store, version_id)


def of(store: Store, name: str, said: str) -> PromptVersion:
    """As `find`, for a version of the strategy `name` alone. Raises NotFoundError for another's."""
    found = find(store, said)
    if found.name != name:
        raise NotFoundError(f"{found.id} is no version of {name}.", f"It is one of {found.name}.")
    return found


def check_known(store: Store, name: str) -> None:
    """NotFoundError for a strategy that has no version at all."""
    if store.row("SELECT 1 FROM prompt_versions WHERE name = ? LIMIT 1", name) is None:
        raise _unknown(name, all_names(store))


def free_name(store: Store, stem: str) -> str:
    """`stem` with the first number that no strategy has: stem-1, stem-2, ..."""
    taken = set(all_names(store))
    return next(name for number in range(1, len(taken) + 2) if (name := f"{stem}-{number}") not in taken)


@lru_cache(maxsize=256)
def _parsed(name: str, source_json: str) -> Strategy:
    return parse(name, json.loads(source_json))
