"""API keys: how a program shows whose it is, and what it may do. Knows SQL; no web framework.

A key acts as its person, with at most the roles that both of them hold. Of the key itself only the sha256 is
kept: it is shown once, when it is made, and a stolen copy of the store opens nothing.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistant import accounts
from assistant.accounts import User
from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER, new_id
from feedback.people import ROLES, Role
from feedback.store import Store, now

PREFIX = "hone-"
LONGEST_NAME = 64
SCHEME = "bearer "


@dataclass(frozen=True)
class Key:
    """A key as it is listed: everything but the key."""

    id: str
    name: str
    user_name: str
    roles: tuple[Role, ...]
    created_at: str
    revoked_at: str | None


def can_be_sent(key: str) -> bool:
    """Whether a header of HTTP can carry it. Whoever says that it cannot does not show it: it is a secret."""
    return key.isascii() and key.isprintable()


def bearer(headers: Any) -> str | None:
    """The key of ours that a request bears, or None. Other bearer texts are not ours: many programs insist on
    sending one.
    """
    value = headers.get("authorization") or ""
    token = value[len(SCHEME) :].strip() if value[: len(SCHEME)].lower() == SCHEME else ""
    return token if token.startswith(PREFIX) else None


def add(store: Store, name: str, roles: Sequence[str], user_name: str | None = None) -> tuple[Key, str]:
    """Make a key for a person (None: the local user, where there are no accounts); returns it with its text.

    HoneError for a bad name or role, ConflictError for a taken name, NotFoundError for no such account.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise HoneError(
            f"{name!r} cannot be a key's name.", f"A name has 1 to {LONGEST_NAME} printable characters."
        )
    user = _owner(store, user_name)
    lacking = [role for role in roles if role not in user.roles]
    if lacking or not roles:
        raise HoneError(
            f"{user.name} does not hold the role {lacking[0]}." if lacking else "A key needs a role.",
            "A key can do no more than its person." if lacking else "",
            f"Choose from: {', '.join(sorted(user.roles)) or 'none'}.",
        )
    text, key_id = PREFIX + secrets.token_urlsafe(32), new_id("k")
    kept = [role for role in ROLES if role in roles]
    with store.transaction():
        if store.row("SELECT 1 FROM api_keys WHERE name = ?", name):
            raise ConflictError(f"There is already a key called {name}.", todo="Choose another name.")
        store.execute(
            "INSERT INTO api_keys (id, name, user_id, roles_json, key_sha256, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *(key_id, name, user.id, json.dumps(kept), _sha256(text), now()),
        )
        audit.record(store, user.id, "key.add", key_id, name=name, roles=kept)
    return next(key for key in listing(store) if key.id == key_id), text


def _owner(store: Store, user_name: str | None) -> User:
    if user_name is None:
        if accounts.exist(store):
            raise HoneError(
                "It is not said whose key this is.", "This server has accounts.", "Add --user NAME."
            )
        return accounts.get(store, LOCAL_USER)
    found = [user for user in accounts.listing(store) if user.name.lower() == user_name.strip().lower()]
    if not found:
        raise NotFoundError(f"There is no account called {user_name}.", todo="`hone users list` shows them.")
    return found[0]


def listing(store: Store) -> list[Key]:
    """Every key, the revoked ones too, the oldest first."""
    return [
        Key(
            row["id"],
            row["name"],
            row["user_name"],
            tuple(json.loads(row["roles_json"])),
            row["created_at"],
            row["revoked_at"],
        )
        for row in store.rows(
            "SELECT k.*, u.name AS user_name FROM api_keys k JOIN users u ON u.id = k.user_id"
            " ORDER BY k.created_at, k.rowid"
        )
    ]


def revoke(store: Store, name: str) -> None:
    """End a key, by its name: from now on it opens nothing. NotFoundError, ConflictError."""
    with store.transaction():
        row = store.row("SELECT * FROM api_keys WHERE name = ?", name.strip())
        if row is None:
            raise NotFoundError(f"There is no key called {name}.", todo="`hone keys list` shows them.")
        if row["revoked_at"] is not None:
            raise ConflictError(f"The key {row['name']} is revoked already.")
        store.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", now(), row["id"])
        audit.record(store, row["user_id"], "key.revoke", row["id"], name=row["name"])


def user_of(store: Store, key: str) -> User | None:
    """The person whose `key` it is, with the roles that both hold; None for an unknown or revoked key, for a
    person who is disabled, and for the local user's key once there are accounts.
    """
    row = store.row(
        "SELECT user_id, name, roles_json FROM api_keys WHERE key_sha256 = ? AND revoked_at IS NULL",
        _sha256(key),
    )
    if row is None:
        return None
    user = accounts.get(store, row["user_id"])
    if user.disabled or (user.id == LOCAL_USER and accounts.exist(store)):
        return None
    return replace(user, roles=user.roles & frozenset(json.loads(row["roles_json"])), key=row["name"])


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
