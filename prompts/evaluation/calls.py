"""What models answered, kept in one SQLite file: an evaluation that was killed goes on where it was, and what
was asked once is never computed again. Knows keys and answers; no strategy and no score.

A call is found by what decides it: the exact prompt, the model version, the settings. A metric decides
nothing here: scores are computed anew each time, so a changed metric needs no model.
"""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedback.canonical import sha256_of
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.store import now
from prompts.evaluation.model import Likelihood, Written

SHAPE = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY,
    text TEXT,
    nats REAL,
    tokens INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID
"""
"""`text`: of what was written; `nats`: of a likelihood. `seconds`: the call's share of the time that the
computing took, so that the sum over calls is the time of all, however many ran side by side."""


@dataclass(frozen=True)
class Kept:
    """An answer and its share of the computing time."""

    answer: Written | Likelihood
    seconds: float


def written_key(model_key: str, prompt: str, sampling: Sampling) -> str:
    """Names a written answer. At temperature 0 neither seed nor nucleus decides anything."""
    drawn = [sampling.temperature, sampling.top_p, sampling.seed] if sampling.temperature > 0 else []
    return sha256_of(["written", model_key, prompt, sampling.max_tokens, drawn])


def likelihood_key(model_key: str, prompt: str, answer: str, ended: bool) -> str:
    """Names a likelihood."""
    return sha256_of(["likelihood", model_key, prompt, answer, ended])


class Calls:
    """The file. Safe from many threads, and from several processes."""

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, timeout=30, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(SHAPE)
        except (OSError, sqlite3.Error) as error:
            raise HoneError(
                f"The answers of evaluations cannot be kept in {file}.",
                f"The system says: {error}.",
                "Delete the file if it is damaged, or choose another home with --home.",
            ) from error
        self._lock = threading.Lock()

    def find(self, keys: Sequence[str]) -> dict[str, Kept]:
        """Those of `keys` that were answered before."""
        found: dict[str, Kept] = {}
        with self._lock:
            for key in keys:
                row = self._connection.execute(
                    "SELECT text, nats, tokens, prompt_tokens, cached_tokens, seconds FROM calls"
                    " WHERE key = ?",
                    (key,),
                ).fetchone()
                if row is not None:
                    found[key] = _kept(*row)
        return found

    def keep(self, answered: Iterable[tuple[str, Kept]]) -> None:
        """Write answers down, all or none; they outlast a kill from here on."""
        rows = [_row(key, kept) for key, kept in answered]
        with self._lock, self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO calls VALUES (?,?,?,?,?,?,?,?)", rows)

    def __len__(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _kept(
    text: str | None, nats: float | None, tokens: int, prompt_tokens: int, cached_tokens: int, seconds: float
) -> Kept:
    if text is not None:
        return Kept(Written(text, tokens, prompt_tokens, cached_tokens), seconds)
    return Kept(Likelihood(float(nats or 0.0), tokens, prompt_tokens), seconds)


def _row(key: str, kept: Kept) -> tuple[object, ...]:
    answer = kept.answer
    if isinstance(answer, Written):
        parts: tuple[object, ...] = (answer.text, None, answer.tokens, answer.prompt_tokens)
        return (key, *parts, answer.cached_tokens, kept.seconds, now())
    return (key, None, answer.nats, answer.tokens, answer.prompt_tokens, 0, kept.seconds, now())
