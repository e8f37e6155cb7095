"""Rows from files: JSON lines, JSON, CSV, TSV and plain text. Knows files; not what the fields mean."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feedback.errors import HoneError

Row = Mapping[str, Any]

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")


def read(file: Path, columns: Sequence[str] = ()) -> list[Row]:
    """The rows of `file`. `columns`: the names of fields in a CSV or TSV without a header, as some sets are
    published; used where its first row does not hold one of them.

    A JSON file is a list of rows, or holds one under `examples` or `data`; a text file is one row, `text`.
    HoneError for a file that is missing, is of no known kind, cannot be read, or has no rows.
    """
    if not file.is_file():
        raise HoneError(f"There is no data file {file}.", "", "Check the path after the colon of --data.")
    if file.suffix.lower() not in ENDINGS:
        raise _unreadable(file, f"it ends in none of {', '.join(ENDINGS)}")
    try:
        rows = _rows(file, columns)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _unreadable(file, f"it is not UTF-8 text, first in line {line}", "Save it as UTF-8.") from error
    except csv.Error as error:
        raise _unreadable(file, str(error)) from error
    if not rows:
        raise _unreadable(file, "it has no rows")
    return rows


def _rows(file: Path, columns: Sequence[str]) -> list[Row]:
    text = file.read_text("utf-8-sig")
    kind = file.suffix.lower()
    if kind in (".csv", ".tsv"):
        return _table(text, "\t" if kind == ".tsv" else ",", columns)
    if kind == ".json":
        return _list(file, _json(file, text, "the file"))
    if kind == ".txt":
        return [{"id": file.stem, "text": text}] if text.strip() else []
    lines = text.split("\n")
    return [
        _object(file, _json(file, line, f"line {number}"), f"line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _table(text: str, delimiter: str, columns: Sequence[str]) -> list[Row]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        lines = [line for line in reader if line]
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error
    if not lines:
        return []
    headed = not columns or bool(set(columns) & {name.strip().lower() for name in lines[0]})
    names = [name.strip() for name in lines[0]] if headed else list(columns)
    return [dict(zip(names, line, strict=False)) for line in (lines[1:] if headed else lines)]


def _list(file: Path, found: Any) -> list[Row]:
    if isinstance(found, dict):
        found = next((found[key] for key in ("examples", "data") if key in found), None)
    if not isinstance(found, list):
        raise _unreadable(file, "its JSON is no list of rows, and holds none under examples or data")
    return [_object(file, row, f"row {number}") for number, row in enumerate(found, 1)]


def _json(file: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, f"{where} is no JSON ({error})") from error


def _object(file: Path, row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise _unreadable(file, f"{where} is no JSON object")
    return row


def _unreadable(file: Path, why: str, to_do: str = "Mend the file.") -> HoneError:
    return HoneError(f"{file} cannot be used as data.", f"{why[0].upper()}{why[1:]}.", to_do)
