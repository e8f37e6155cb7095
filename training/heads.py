"""Reward models by id and name, with their files and what was measured of them. They never answer.

A head is a folder under the home (an adapter, its layer inside, then a manifest) and a row, written in the
order in which a model version is. Knows no torch.
"""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from assistant import version_files
from assistant.base import Base
from feedback.canonical import canonical_json
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import RunId, new_id
from feedback.store import Store, now
from training import reward_report
from training.reward_report import RewardReport

KIND = "reward"
LATEST = "latest"


@dataclass(frozen=True)
class Head:
    """One row of `heads`. `folder` is relative to the home; `report` None: nothing was held out."""

    id: str
    name: str
    kind: str
    base_id: str
    folder: str
    sha256: str
    run_id: RunId | None
    chat_template_sha256: str
    report: RewardReport | None
    created_at: str


@dataclass(frozen=True)
class Made:
    """What a run has made: the folder it wrote, and what was measured of it."""

    adapter: Path
    report: RewardReport | None


def add(store: Store, home: Home, base: Base, made: Made, run_id: RunId, template_sha256: str) -> Head:
    """Keep what a run made as `reward-1`, `reward-2`, ...; files first, then the row. HoneError: no space."""
    head_id = new_id("h")
    about: dict[str, str | None] = {"head_id": head_id, "base_id": base.id, "run_id": run_id}
    folder = home.heads / head_id
    sha256 = version_files.keep(made.adapter, folder, about)
    with store.transaction():
        taken = store.row("SELECT count(*) AS number FROM heads WHERE kind = ?", KIND)
        name = f"{KIND}-{(taken['number'] if taken else 0) + 1}"
        store.execute(
            """INSERT INTO heads (id, name, kind, base_id, folder, sha256, run_id, chat_template_sha256,
                 report_json, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            *(head_id, name, KIND, base.id, f"{home.heads.name}/{head_id}", sha256, run_id),
            *(template_sha256, canonical_json(made.report), now()),
        )
    return get(store, name)


def get(store: Store, named: str) -> Head:
    """A reward model by id, name or `latest`. Raises NotFoundError."""
    if named == LATEST:
        row = store.row("SELECT * FROM heads ORDER BY rowid DESC LIMIT 1")
    else:
        row = store.row("SELECT * FROM heads WHERE id = ? OR name = ?", named, named)
    if row is None:
        missing = "There is no reward model yet." if named == LATEST else f"There is no reward model {named}."
        known = ", ".join(one["name"] for one in store.rows("SELECT name FROM heads ORDER BY rowid"))
        told = f"There are: {known}." if known else ""
        raise NotFoundError(missing, told, "Train one with `hone train reward`.")
    return _head(row)


def as_it_was(store: Store, named: str, at: str) -> Head:
    """The same, where `latest` is what it was at that time (UTC, ISO 8601)."""
    if named != LATEST:
        return get(store, named)
    row = store.row("SELECT name FROM heads WHERE created_at <= ? ORDER BY rowid DESC LIMIT 1", at)
    return get(store, row["name"] if row else LATEST)


def of_run(store: Store, run_id: RunId) -> Head | None:
    """What came out of a run, if anything did."""
    row = store.row("SELECT * FROM heads WHERE run_id = ?", run_id)
    return _head(row) if row else None


def check_files(home: Home, head: Head) -> None:
    """Compare a head's files with its manifest, and the manifest with its row. Raises HoneError."""
    why = version_files.damage(home.path / head.folder, head.base_id, head.sha256)
    if why is not None:
        raise HoneError(f"{head.name} is damaged.", why, "Train it again, or restore it from a backup.")


def check_base(head: Head, base_id: str, chat_template_sha256: str) -> None:
    """HoneError where a head judges answers that are put in other tokens than it learnt on."""
    if (head.base_id, head.chat_template_sha256) != (base_id, chat_template_sha256):
        raise HoneError(
            f"{head.name} cannot judge these answers.",
            f"It reads {head.base_id} by the chat template it was trained with; they are of {base_id}"
            + (", by another chat template." if head.base_id == base_id else "."),
            "Choose the base that it stands on, or train a reward model on this one: hone train reward.",
        )


def _head(row: sqlite3.Row) -> Head:
    values = dict(row)
    told = json.loads(values.pop("report_json"))
    return Head(report=reward_report.from_data(told) if told else None, **values)
