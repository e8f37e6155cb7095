"""The store: one SQLite file under the home folder.

Knows connections, transactions and migrations; no table by name. WAL, foreign keys on, a busy timeout, one
connection a thread. Every multi-step write goes through `transaction()`.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from feedback.errors import HoneError
from feedback.schema import migrations

BUSY_TIMEOUT_S = 30.0


def now() -> str:
    """The time as the store writes it: UTC, ISO 8601, microseconds, so that quick deeds keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Store:
    """Rows in, rows out. Thread-safe: each thread has its own connection.

    `path` is the SQLite file; its folder is made. Raises HoneError when the file is not a store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # SQLite lets writers sleep and try again; among our own threads the next one is woken at once.
        self._writing = threading.Lock()
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            migrations.apply(Database(self._connection()))
        except sqlite3.DatabaseError as error:
            raise HoneError(
                f"The store {path} cannot be opened.",
                f"SQLite says: {error}.",
                "Restore a backup or choose another home.",
            ) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Autocommit: transactions are begun by `transaction()` alone, never by the driver.
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # an acknowledged vote survives a power cut
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
        return connection

    def rows(self, sql: str, *args: Any) -> list[sqlite3.Row]:
        """All rows of a SELECT (or of a statement with RETURNING)."""
        return self._connection().execute(sql, args).fetchall()

    def row(self, sql: str, *args: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        return self._connection().execute(sql, args).fetchone()

    def execute(self, sql: str, *args: Any) -> int:
        """Run one statement; returns the number of rows it changed."""
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
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
