"""Datasets: files that runs train on beside votes. Copied into the home under their hash, never changed.

What is kept is JSON lines in one form, so that the same content is the same dataset whatever file it came in.
Knows no trainer.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from feedback import audit
from feedback.canonical import canonical_json
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import UserId
from feedback.store import Store, now
from feedback.whole_files import write_aside


@dataclass(frozen=True)
class Dataset:
    """One row of `datasets`. id is d_ and the first 12 hex digits of sha256; name that of the file it was."""

    id: str
    sha256: str
    kind: str
    name: str
    rows: int
    created_by: UserId
    created_at: str


def freeze_texts(store: Store, home: Home, user_id: UserId, file: Path) -> Dataset:
    """Keep the documents of a file: .jsonl with a `text` in each line, or plain text cut at empty lines.

    The same content returns the dataset that is already there. HoneError for a file without text.
    """
    kept = "".join(canonical_json({"text": text}) + "\n" for text in _texts(file))
    if not kept:
        raise HoneError(f"There is no text in {file.name}.", "", "Give a file with some.")
    sha256 = hashlib.sha256(kept.encode()).hexdigest()
    with store.transaction():
        row = store.row("SELECT * FROM datasets WHERE sha256 = ?", sha256)
        if row is not None:
            return _dataset(row)
        found = Dataset(f"d_{sha256[:12]}", sha256, "text", file.name, kept.count("\n"), user_id, now())
        write_aside(_file(home, found), kept)
        store.execute(
            "INSERT INTO datasets (id, sha256, kind, name, rows, created_by, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(found.id, sha256, found.kind, found.name, found.rows, user_id, found.created_at),
        )
        audit.record(store, user_id, "dataset.freeze", found.id, rows=found.rows)
    return found


def texts(home: Home, dataset: Dataset) -> list[str]:
    """The documents of a dataset, in its order. HoneError when its file is not what was kept."""
    file = _file(home, dataset)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HoneError(f"The dataset {dataset.id} cannot be read.", f"{error}.", "Restore it.") from error
    if hashlib.sha256(content).hexdigest() != dataset.sha256:
        raise HoneError(
            f"The dataset {dataset.id} is damaged.",
            "Its file is not what was kept.",
            f"Delete {file.name} from the home's datasets, and give {dataset.name} again.",
        )
    return [json.loads(line)["text"] for line in content.decode().split("\n") if line]


def get(store: Store, dataset_id: str) -> Dataset:
    """A dataset by its id. Raises NotFoundError."""
    row = store.row("SELECT * FROM datasets WHERE id = ?", dataset_id)
    if row is None:
        raise NotFoundError(f"There is no dataset {dataset_id}.")
    return _dataset(row)


def _texts(file: Path) -> Iterator[str]:
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HoneError(f"{file} cannot be read.", f"{error}.", "Give a text file in UTF-8.") from error
    if file.suffix != ".jsonl":
        yield from (part.strip() for part in content.split("\n\n") if part.strip())
        return
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise HoneError(
                f"Line {number} of {file.name} is no document.",
                'Each line is {"text": "..."}.',
                "Correct it.",
            ) from error
        if not isinstance(text, str):
            raise HoneError(f"Line {number} of {file.name} has a text that is none.", "", "Write a string.")
        if text.strip():
            yield text.strip()


def _file(home: Home, dataset: Dataset) -> Path:
    return home.datasets / f"{dataset.id}.jsonl"


def _dataset(row: sqlite3.Row) -> Dataset:
    return Dataset(**dict(row))
