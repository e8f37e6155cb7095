"""The shape of the store: numbered migrations, each a file of SQL in `migrations/`. No rules live here.

One sequence for the whole file, because lineage crosses rooms by foreign key (reply -> model version ->
run -> snapshot -> votes). Each room writes only its own tables, named in the comment above each group.
Times are UTC, ISO 8601, to the microsecond. A column ending in `_json` holds JSON.
"""

import sqlite3
from pathlib import Path

from feedback.sqlite_tools import Database, Migrations

FOLDER = Path(__file__).parent / "migrations"

migrations = Migrations("hone")


def run(db: Database, file: str) -> None:
    """Run a file of `migrations/` in the caller's transaction (sqlite3's executescript would commit it)."""
    statement = ""
    for line in (FOLDER / file).read_text(encoding="utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


@migrations()
def m0001_first(db: Database) -> None:
    run(db, "0001_first.sql")


@migrations()
def m0002_api(db: Database) -> None:
    run(db, "0002_api.sql")


@migrations()
def m0003_strategies(db: Database) -> None:
    run(db, "0003_strategies.sql")


@migrations()
def m0004_library(db: Database) -> None:
    run(db, "0004_library.sql")


@migrations()
def m0005_own_strategies(db: Database) -> None:
    run(db, "0005_own_strategies.sql")


@migrations()
def m0006_measures(db: Database) -> None:
    run(db, "0006_measures.sql")


@migrations()
def m0007_thumbs_and_heads(db: Database) -> None:
    run(db, "0007_thumbs_and_heads.sql")


@migrations()
def m0008_datasets(db: Database) -> None:
    run(db, "0008_datasets.sql")


@migrations()
def m0009_answers(db: Database) -> None:
    run(db, "0009_answers.sql")


@migrations()
def m0010_repeats(db: Database) -> None:
    run(db, "0010_repeats.sql")


@migrations()
def m0011_launch(db: Database) -> None:
    run(db, "0011_launch.sql")


@migrations()
def m0012_labels(db: Database) -> None:
    run(db, "0012_labels.sql")
