"""Datasets: files that runs train on beside votes. Copied into the home under their hash, never changed.

What is kept is JSON lines in one form, so that the same content is the same dataset whatever file it came in.
Knows no trainer.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from feedback import audit, splits
from feedback.canonical import canonical_json
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import UserId
from feedback.message import Turn
from feedback.store import Store, now
from feedback.whole_files import write_aside

Kind = Literal["text", "answers", "labels"]
LATEST = "latest"
"""In place of an id: the newest."""


@dataclass(frozen=True)
class Dataset:
    """One row of `datasets`. id is d_ and the first 12 hex digits of sha256; name that of the file it was.

    `kind`: what a row is: a text, a question with its answer, or a text with its label.
    """

    id: str
    sha256: str
    kind: Kind
    name: str
    rows: int
    created_by: UserId
    created_at: str


@dataclass(frozen=True)
class Answered:
    """A question and the answer to learn. `turns` ends with the user's."""

    turns: tuple[Turn, ...]
    answer: str
    system_text: str = ""

    @property
    def split_key(self) -> str:
        """What its side hangs on: held out, or to train on."""
        return splits.split_key(self.turns, self.system_text)


@dataclass(frozen=True)
class Example:
    """A text and the label that a person gave it."""

    text: str
    label: str


@dataclass(frozen=True)
class Labelled:
    """Texts with labels. `labels`: those that occur, in their order. `question`: how a text is asked for its
    label, as Jinja over `text`; "" where nobody says.
    """

    labels: tuple[str, ...]
    question: str
    examples: tuple[Example, ...]


def freeze_file(
    store: Store, home: Home, user_id: UserId, file: Path, kind: Literal["text", "answers"]
) -> Dataset:
    """Keep what a file holds, as `freeze_texts` or `freeze_answers` does."""
    if kind == "text":
        return freeze_texts(store, home, user_id, file)
    return freeze_answers(store, home, user_id, file.name, read_answers(file))


def freeze_texts(store: Store, home: Home, user_id: UserId, file: Path) -> Dataset:
    """Keep the documents of a file: .jsonl with a `text` in each line, or plain text cut at empty lines.

    The same content returns the dataset that is already there. HoneError for a file without text.
    """
    lines = [canonical_json({"text": text}) for text in _texts(file)]
    if not lines:
        raise HoneError(f"There is no text in {file.name}.", "", "Give a file with some.")
    return _keep(store, home, user_id, "text", file.name, lines)


def freeze_answers(
    store: Store, home: Home, user_id: UserId, name: str, found: Sequence[Answered], **made: Any
) -> Dataset:
    """Keep questions with their answers; each prompt's side is fixed, as that of a vote's is.

    `made`: how they came about, for the audit log. The same content returns the dataset that is already
    there. HoneError where there are none.
    """
    if not found:
        raise HoneError(f"There is no answer in {name}.", "", "Give a file with some.")
    lines = [canonical_json({"messages": _messages(one)}) for one in found]
    with store.transaction():
        splits.fix(store, [one.split_key for one in found])
        return _keep(store, home, user_id, "answers", name, lines, **made)


def freeze_labelled(store: Store, home: Home, user_id: UserId, name: str, found: Labelled) -> Dataset:
    """Keep texts with their labels: the first line says which labels there are and how is asked for one, each
    other is an example. The same content returns the dataset that is already there.
    """
    head = canonical_json({"labels": found.labels, "question": found.question})
    lines = [canonical_json({"text": one.text, "label": one.label}) for one in found.examples]
    return _keep(store, home, user_id, "labels", name, [head, *lines])


def _messages(one: Answered) -> list[dict[str, str]]:
    said = [("system", one.system_text)] if one.system_text else []
    said += [*((turn.role, turn.content) for turn in one.turns), ("assistant", one.answer)]
    return [{"role": role, "content": content} for role, content in said]


def _keep(
    store: Store, home: Home, user_id: UserId, kind: Kind, name: str, lines: Sequence[str], **made: Any
) -> Dataset:
    kept = "".join(f"{line}\n" for line in lines)
    try:
        sha256 = hashlib.sha256(kept.encode()).hexdigest()
    except UnicodeEncodeError as error:  # JSON can say it: "\ud83d"
        raise HoneError(f"{name} cannot be kept.", "It holds half a character.", "Take it out.") from error
    with store.transaction():
        row = store.row("SELECT * FROM datasets WHERE sha256 = ?", sha256)
        if row is not None:
            return _dataset(row)
        rows = len(lines) - (kind == "labels")  # whose first line is no example
        found = Dataset(f"d_{sha256[:12]}", sha256, kind, name, rows, user_id, now())
        write_aside(_file(home, found), kept)
        store.execute(
            "INSERT INTO datasets (id, sha256, kind, name, rows, created_by, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(found.id, sha256, found.kind, found.name, found.rows, user_id, found.created_at),
        )
        audit.record(store, user_id, "dataset.freeze", found.id, rows=found.rows, **made)
    return found


def texts(home: Home, dataset: Dataset) -> list[str]:
    """The documents of a dataset, in its order. HoneError when its file is not what was kept."""
    return [json.loads(line)["text"] for line in _lines(home, dataset)]


def answers(home: Home, dataset: Dataset) -> list[Answered]:
    """The questions and answers of a dataset, in its order. HoneError when its file is not what was kept."""
    return [_answered(json.loads(line)) for line in _lines(home, dataset)]


def labelled(home: Home, dataset: Dataset) -> Labelled:
    """The texts of a dataset with their labels. HoneError when its file is not what was kept."""
    head, *rows = (json.loads(line) for line in _lines(home, dataset))
    return Labelled(tuple(head["labels"]), head["question"], tuple(Example(**row) for row in rows))


def check(home: Home, dataset: Dataset) -> None:
    """HoneError when a dataset's file is not what was kept."""
    _lines(home, dataset)


def _lines(home: Home, dataset: Dataset) -> list[str]:
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
    return [line for line in content.decode().split("\n") if line]


def get(store: Store, dataset_id: str) -> Dataset:
    """A dataset by its id. Raises NotFoundError."""
    row = store.row("SELECT * FROM datasets WHERE id = ?", dataset_id)
    if row is None:
        raise NotFoundError(f"There is no dataset {dataset_id}.", "", "See `hone data list`.")
    return _dataset(row)


def names_one(written: str) -> bool:
    """Whether this is how a dataset is named, and not a file: by its id, or as `latest`."""
    return written == LATEST or written.startswith("d_")


def find(store: Store, named: str, kind: str) -> Dataset:
    """The dataset with this id; `latest` is the newest of this kind. Raises NotFoundError."""
    if named != LATEST:
        return get(store, named)
    if found := [one for one in listing(store) if one.kind == kind]:
        return found[0]
    raise NotFoundError(f"There is no dataset of {kind} yet.", "", "See `hone data list`.")


def listing(store: Store) -> list[Dataset]:
    """All datasets, newest first."""
    return [
        _dataset(row) for row in store.rows("SELECT * FROM datasets ORDER BY created_at DESC, rowid DESC")
    ]


def read_answers(file: Path) -> list[Answered]:
    """The conversations of a .jsonl file, the last message of each being the answer to learn.

    A line is {"messages": [{"role", "content"}, ...]}, where a system message may come first. HoneError names
    the line that is not.
    """
    found = []
    for number, line in _numbered(file):
        try:
            found.append(_answered(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HoneError(
                f"Line {number} of {file.name} is no conversation to learn from.",
                'Each line is {"messages": [...]}: a system message or none, then user and assistant in turn,'
                " the assistant last, each with a text.",
                "Correct it.",
            ) from error
    return found


def _answered(row: Any) -> Answered:
    """ValueError, KeyError, TypeError or AttributeError for what is no conversation."""
    said = [(one["role"], one["content"]) for one in row["messages"]]
    system = said.pop(0)[1] if said and said[0][0] == "system" else ""
    roles = [role for role, _ in said]
    if not said or roles != ["user", "assistant"] * (len(said) // 2):
        raise ValueError("the roles")
    if not isinstance(system, str) or not all(content.strip() for _, content in said):
        raise ValueError("an empty message")
    turns = tuple(Turn(role, content) for role, content in said[:-1])
    return Answered(turns, said[-1][1], system)


def _texts(file: Path) -> Iterator[str]:
    if file.suffix != ".jsonl":
        yield from (part.strip() for part in _content(file).split("\n\n") if part.strip())
        return
    for number, line in _numbered(file):
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


def _numbered(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_content(file).split("\n"), 1):
        if line.strip():
            yield number, line


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HoneError(f"{file} cannot be read.", f"{error}.", "Give a text file in UTF-8.") from error


def _file(home: Home, dataset: Dataset) -> Path:
    return home.datasets / f"{dataset.id}.jsonl"


def _dataset(row: sqlite3.Row) -> Dataset:
    return Dataset(**dict(row))
