"""The store: one SQLite file under the home folder.

Knows connections, transactions and migrations; no table by name. WAL, foreign keys on, a busy timeout, one
connection a thread at a time. Every multi-step write goes through `transaction()`.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from feedback import full_disc
from feedback.errors import HoneError
from feedback.schema import migrations
from feedback.sqlite_tools import Database

BUSY_TIMEOUT_S = 30.0
SPARE = 8
"""Connections kept for threads to come: to open one takes a millisecond, and a reply would begin later."""


def now() -> str:
    """The time as the store writes it: UTC, ISO 8601, microseconds, so that quick deeds keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store:
    """Rows in, rows out. Thread-safe: each thread has a connection of its own.

    `path` is the SQLite file; its folder is made. Raises HoneError when the file is not a store, and
    FullDiscError from whatever finds no room to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # SQLite lets writers sleep and try again; among our own threads the next one is woken at once.
        self._writing = threading.Lock()
        self._local = threading.local()
        self._spare: list[sqlite3.Connection] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # SQLite lets two change tables at once, each by half. Whoever comes second finds them changed.
            with FileLock(f"{path}.lock"):
                migrations.apply(Database(self._connection()))
        except OSError as error:
            full_disc.check(error)
            raise HoneError(
                f"The store {path} cannot be opened.",
                f"{error.strerror}: {error.filename}.",
                "Give yourself the right to write there, or choose another home.",
            ) from error
        except sqlite3.DatabaseError as error:
            full_disc.check(error)
            raise HoneError(
                f"The store {path} cannot be opened.",
                f"SQLite says: {error}.",
                "Restore a backup or choose another home.",
            ) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._spare.pop()
            except IndexError:
                connection = self._opened()
            self._local.connection = connection
        return connection

    def _opened(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun by `transaction()` alone, never by the driver. That need not look
        # after the threads either: one at a time has a connection.
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        # SQLite's own LIKE and lower() know no letters but ASCII's.
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an acknowledged vote survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def rows(self, sql: str, *args: Any) -> list[sqlite3.Row]:
        """All rows of a SELECT (or of a statement with RETURNING)."""
        with _no_room_told():
            return self._connection().execute(sql, args).fetchall()

    def row(self, sql: str, *args: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        with _no_room_told():
            return self._connection().execute(sql, args).fetchone()

    def execute(self, sql: str, *args: Any) -> int:
        """Run one statement; returns the number of rows it changed."""
        with _no_room_told():
            return self._connection().execute(sql, args).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; takes the write lock at once, so that a read inside cannot go stale. Nests."""
        connection = self._connection()
        if connection.in_transaction:
            yield
            return
        with self._writing:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException as error:
                # SQLite itself goes back on some errors. Left open by a commit that failed, the transaction
                # would swallow all that this thread writes later.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                full_disc.check(error)
                raise

    def release(self) -> None:
        """This thread needs the store no more, and the next one may have its connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            if len(self._spare) < SPARE:
                self._spare.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close this thread's connection, and those that no thread has."""
        self.release()
        while self._spare:
            self._spare.pop().close()


@contextmanager
def _no_room_told() -> Iterator[None]:
    """FullDiscError where SQLite found no room; its own errors otherwise."""
    try:
        yield
    except sqlite3.OperationalError as error:
        full_disc.check(error)
        raise
