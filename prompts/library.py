"""Versions of strategies in the store: immutable, named by their content. Knows no model.

Owns prompt_versions and prompt_labels.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from feedback.errors import NotFoundError
from feedback.ids import SYSTEM_USER, PromptVersionId
from feedback.store import Store, now
from prompts.plain import SHIPPED, ZERO_SHOT
from prompts.strategy import Strategy, load, parse


@dataclass(frozen=True)
class PromptVersion:
    """One text of a strategy; `id` says exactly which bytes."""

    id: PromptVersionId
    name: str
    strategy: Strategy


def register_shipped(store: Store, folder: Path = SHIPPED) -> list[PromptVersion]:
    """Make the shipped strategies known; each start calls it, and a second call changes nothing.

    A changed file becomes a new version, and the production label follows it unless a person placed it.
    Raises HoneError, with nothing written, when a template cannot be used.
    """
    strategies = load(folder)
    with store.transaction():
        return [_register(store, strategy) for strategy in strategies.values()]


def _register(store: Store, strategy: Strategy) -> PromptVersion:
    version = PromptVersion(PromptVersionId(f"pv_{strategy.sha256[:12]}"), strategy.name, strategy)
    store.execute(
        """
        INSERT INTO prompt_versions (id, sha256, name, source_json, origin, created_at)
        VALUES (?, ?, ?, ?, 'shipped', ?) ON CONFLICT (sha256) DO NOTHING
        """,
        *(version.id, strategy.sha256, strategy.name, json.dumps(dict(strategy.files)), now()),
    )
    store.execute(
        """
        INSERT INTO prompt_labels (name, label, prompt_version_id, moved_by, moved_at)
        VALUES (?, 'production', ?, ?, ?)
        ON CONFLICT (name, label) DO UPDATE
        SET prompt_version_id = excluded.prompt_version_id, moved_at = excluded.moved_at
        WHERE moved_by = excluded.moved_by AND prompt_version_id <> excluded.prompt_version_id
        """,
        *(strategy.name, version.id, SYSTEM_USER, now()),
    )
    return version


def production(store: Store, name: str) -> PromptVersion:
    """The version of `name` that chats use. Raises NotFoundError."""
    row = store.row(
        "SELECT prompt_version_id AS id FROM prompt_labels WHERE name = ? AND label = 'production'", name
    )
    if row is None:
        known = ", ".join(names(store)) or "none"
        raise NotFoundError(
            f"There is no strategy called {name}.", f"Known are: {known}.", "Choose one of these."
        )
    return get(store, PromptVersionId(row["id"]))


def get(store: Store, version_id: PromptVersionId) -> PromptVersion:
    """The version with this id, as it was on the day it was made. Raises NotFoundError."""
    row = store.row("SELECT name, source_json FROM prompt_versions WHERE id = ?", version_id)
    if row is None:
        raise NotFoundError(f"There is no prompt version {version_id}.")
    return PromptVersion(version_id, row["name"], _parsed(row["name"], row["source_json"]))


def names(store: Store) -> list[str]:
    """The strategies that have a production version: zero-shot first, the rest by name."""
    rows = store.rows("SELECT name FROM prompt_labels WHERE label = 'production'")
    return sorted((row["name"] for row in rows), key=lambda name: (name != ZERO_SHOT, name))


@lru_cache(maxsize=256)
def _parsed(name: str, source_json: str) -> Strategy:
    return parse(name, json.loads(source_json))
