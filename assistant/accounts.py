"""People, passwords and sessions: who is asking, and what they may do.

Knows SQL and argon2; no web framework.

A password is kept as an argon2 hash, a session as the sha256 of its random token: a stolen copy of the
store opens nothing. Until the first account exists, a client on this machine is the one local user, who
holds every role.
"""

import hashlib
import ipaddress
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from feedback import audit
from feedback.errors import ConflictError, ForbiddenError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER, UserId, new_id
from feedback.people import ROLES, Role, allowed
from feedback.store import Store, now

COOKIE = "hone_session"
SESSION_DAYS = 30
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1024
LONGEST_NAME = 64

_hasher = PasswordHasher()


@cache
def _nobody_hash() -> str:
    """Checked when a name is unknown, so that the time an answer takes does not tell which names exist. Made
    at the first login: it takes longer than all else that a command needs to start.
    """
    return _hasher.hash(secrets.token_hex(16))


class UnauthenticatedError(HoneError):
    """Nobody is logged in, and this asks for somebody."""

    status = 401


class TooManyAttemptsError(HoneError):
    """Too many failed logins from one place."""

    status = 429


@dataclass(frozen=True)
class User:
    """One person, as `feedback.people.Person` asks for. `roles` is a subset of ROLES. `key`: the name of the
    API key that they came with, whose roles these are; "" for a login.
    """

    id: UserId
    name: str
    roles: frozenset[Role]
    disabled: bool = False
    key: str = ""


def _user(row: Any) -> User:
    roles = frozenset(role for role in ROLES if role in json.loads(row["roles_json"]))
    return User(row["id"], row["name"], roles, row["disabled_at"] is not None)


def exist(store: Store) -> bool:
    """Whether any account exists. A disabled one counts: disabling the last must not open the server."""
    return store.row("SELECT 1 FROM users WHERE password_hash IS NOT NULL LIMIT 1") is not None


def add(store: Store, name: str, roles: Sequence[str], password: str) -> User:
    """Make an account. HoneError for a bad name, role or password, ConflictError for a name that is taken."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise HoneError(
            f"{name!r} cannot be a user's name.", f"A name has 1 to {LONGEST_NAME} printable characters."
        )
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise HoneError(
            f"There is no role {unknown[0]!r}." if unknown else "A user needs a role.",
            todo=f"Choose from: {', '.join(ROLES)}.",
        )
    check_password(password)
    user_id = UserId(new_id("u"))
    with store.transaction():
        if store.row("SELECT 1 FROM users WHERE name = ?", name):
            raise ConflictError(f"There is already a user called {name}.", todo="Choose another name.")
        store.execute(
            "INSERT INTO users (id, name, roles_json, password_hash, created_at) VALUES (?, ?, ?, ?, ?)",
            user_id, name, json.dumps([one for one in ROLES if one in roles]), _hasher.hash(password), now(),
        )  # fmt: skip
        audit.record(store, user_id, "user.add", user_id, name=name, roles=list(roles))
    return get(store, user_id)


def check_password(password: str) -> None:
    """HoneError for a password too short to be safe or too long to hash cheaply."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise HoneError(
            "That password cannot be used.",
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.",
            "Choose another; a few random words are good.",
        )


def get(store: Store, user_id: UserId) -> User:
    row = store.row("SELECT * FROM users WHERE id = ?", user_id)
    if row is None:
        raise NotFoundError(f"There is no user {user_id}.")
    return _user(row)


def listing(store: Store) -> list[User]:
    """Everybody with a password, in order of name."""
    return [
        _user(row)
        for row in store.rows(
            "SELECT * FROM users WHERE password_hash IS NOT NULL ORDER BY name COLLATE NOCASE"
        )
    ]


def disable(store: Store, name: str) -> User:
    """End a person's sessions and refuse further logins. What they wrote and voted stays."""
    with store.transaction():
        row = store.row("SELECT * FROM users WHERE name = ? AND password_hash IS NOT NULL", name)
        if row is None:
            raise NotFoundError(f"There is no account called {name}.", todo="`hone users list` shows them.")
        store.execute(
            "UPDATE users SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL", now(), row["id"]
        )
        store.execute("DELETE FROM sessions WHERE user_id = ?", row["id"])
        audit.record(store, row["id"], "user.disable", row["id"], name=name)
    return get(store, row["id"])


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def log_in(store: Store, name: str, password: str) -> str:
    """A new session's token. UnauthenticatedError, the same words for a wrong name and a wrong password."""
    row = store.row("SELECT * FROM users WHERE name = ? AND password_hash IS NOT NULL", name.strip())
    nobody = _nobody_hash()  # whoever it is: the first login would else tell
    try:
        _hasher.verify(row["password_hash"] if row else nobody, password[:LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        row = None
    if row is None or row["disabled_at"] is not None:
        raise UnauthenticatedError("That name and password do not match an account.", todo="Try again.")
    token = secrets.token_urlsafe(32)
    expires = (datetime.now(UTC) + timedelta(days=SESSION_DAYS)).isoformat(timespec="milliseconds")
    with store.transaction():
        store.execute("DELETE FROM sessions WHERE user_id = ? AND expires_at < ?", row["id"], now())
        store.execute(
            "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
            _sha256(token), row["id"], now(), expires.replace("+00:00", "Z"),
        )  # fmt: skip
    return token


def log_out(store: Store, token: str) -> None:
    store.execute("DELETE FROM sessions WHERE token_sha256 = ?", _sha256(token))


def session_user(store: Store, token: str) -> User | None:
    """The person of a live session, or None."""
    row = store.row(
        "SELECT users.* FROM sessions JOIN users ON users.id = sessions.user_id"
        " WHERE token_sha256 = ? AND expires_at > ? AND disabled_at IS NULL AND password_hash IS NOT NULL",
        _sha256(token), now(),
    )  # fmt: skip
    return _user(row) if row else None


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, means this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def check_host(store: Store, host: str) -> None:
    """Refuse to listen beyond this machine before anybody has a password (HoneError)."""
    if not is_loopback(host) and not exist(store):
        raise HoneError(
            f"Hone will not listen on {host} without accounts.",
            "Anybody on the network could chat, read every conversation and replace the model.",
            "Make one with `hone users add NAME --role operator --role chatter`, or leave --host out.",
        )


class Access:
    """Who is behind a request. The web pages and the API of every room ask this one object.

    Keys are looked up by assistant.keys, which knows this module: hence imported where they are used.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, request: Any) -> User | None:
        """The person behind `request` (it has `.headers`, `.cookies`, `.client`; Gradio's has too), or None.

        A request that bears a key is its key's alone: neither a cookie nor its address opens anything for it.
        """
        from assistant import keys

        if key := keys.bearer(request.headers):
            return keys.user_of(self._store, key)
        token = request.cookies.get(COOKIE)
        if token and (user := session_user(self._store, token)):
            return user
        if request.client is not None and is_loopback(request.client.host) and not exist(self._store):
            return get(self._store, LOCAL_USER)
        return None

    def current_user(self, request: Any) -> User:
        """As `find`, but UnauthenticatedError for nobody."""
        from assistant import keys

        user = self.find(request)
        if user is None and keys.bearer(request.headers):
            raise UnauthenticatedError(
                "This API key opens nothing.",
                "It is unknown, revoked, or its person's account is disabled.",
                "Make another with `hone keys add NAME --role chatter`.",
            )
        if user is None:
            raise UnauthenticatedError(
                "Please log in.", "This server has accounts.", "Open /login, or send an API key."
            )
        return user

    def require(self, role: Role) -> Callable[[Any], User]:
        """A check to put before a handler: the person, if they hold `role`; else ForbiddenError."""

        def checked(request: Any) -> User:
            user = self.current_user(request)
            if user.key and role not in user.roles:
                whose = "" if user.id == LOCAL_USER else f" --user {user.name}"
                raise ForbiddenError(
                    f"This needs the role {role}.",
                    f"The API key {user.key} has {', '.join(sorted(user.roles)) or 'no role'}.",
                    f"Make another with `hone keys add NAME --role {role}{whose}`.",
                )
            allowed(user, role)
            return user

        return checked


class LoginLimit:
    """Slows down password guessing: at most `most` failures from one key in `window_s` seconds."""

    def __init__(
        self, most: int = 10, window_s: float = 300.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._window_s, self._clock = most, window_s, clock
        self._failures: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, *keys: str) -> None:
        """TooManyAttemptsError when any key has used up its failures."""
        with self._lock:
            start = self._clock() - self._window_s
            self._failures = {
                k: kept for k, v in self._failures.items() if (kept := [t for t in v if t > start])
            }
            if any(len(self._failures.get(key, ())) >= self._most for key in keys):
                raise TooManyAttemptsError(
                    "Too many failed logins.", todo=f"Wait {self._window_s / 60:.0f} minutes and try again."
                )

    def failed(self, *keys: str) -> None:
        with self._lock:
            for key in keys:
                self._failures.setdefault(key, []).append(self._clock())
