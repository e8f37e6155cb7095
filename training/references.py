"""What the reference of a preference run says of each answer, kept: a second run from the same champion on
the same pairs reads none of them again. Knows a file and keys; no trainer.

A number is found by what decides it: the version and the arithmetic it is computed in, and every token of
prompt and answer. The file is safe to delete, at the price of computing them again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

SHAPE = "CREATE TABLE IF NOT EXISTS logprobs (key BLOB PRIMARY KEY, nats REAL NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True)
class Scored:
    """An answer after its prompt, in token ids."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]


class References:
    """The file, for one version. `version`: what computes, such as base, adapter and number type."""

    def __init__(self, file: Path, version: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=30)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(SHAPE)
        self._version = version

    def find(self, answers: Sequence[Scored]) -> list[float] | None:
        """log p of each answer, summed over its tokens, in nats; None unless all are known."""
        found = []
        for one in answers:
            row = self._connection.execute(
                "SELECT nats FROM logprobs WHERE key = ?", (self._key(one),)
            ).fetchone()
            if row is None:
                return None
            found.append(float(row[0]))
        return found

    def keep(self, known: Mapping[Scored, float]) -> None:
        """Write numbers down; they outlast a kill from here on."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO logprobs VALUES (?, ?)",
                [(self._key(one), nats) for one, nats in known.items()],
            )

    def close(self) -> None:
        self._connection.close()

    def _key(self, one: Scored) -> bytes:
        said = f"{self._version}\n{one.prompt_ids}\n{one.answer_ids}"
        return sha256(said.encode()).digest()[:16]
