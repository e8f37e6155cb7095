"""The figures of runs as a file for other tools: CSV or JSON lines, a row for each value. Knows no store."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from feedback.errors import HoneError
from feedback.ids import RunId
from feedback.whole_files import write_aside
from training.runs import MetricPoint

FIELDS = ("run", "step", "name", "value")
Row = tuple[RunId, int, str, float]


def write(file: Path, curves: Mapping[RunId, Sequence[MetricPoint]]) -> int:
    """Write the curves whole, in the form that the file's ending names; returns the number of rows.

    Values keep every digit. HoneError for another ending, and for a place that cannot be written.
    """
    ways = {".csv": as_csv, ".jsonl": as_jsonl}
    if file.suffix not in ways:
        raise HoneError(
            f"{file.name} is no kind of file that figures go to.", "", "End it in .csv or .jsonl."
        )
    rows = [(run, one.step, one.name, one.value) for run, points in curves.items() for one in points]
    try:
        write_aside(file, ways[file.suffix](rows))
    except OSError as error:
        raise HoneError(
            f"{file} cannot be written.", f"{error.strerror}.", "Choose another place."
        ) from error
    return len(rows)


def as_csv(rows: Sequence[Row]) -> str:
    """A line of names, then the rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    writer.writerows(rows)
    return out.getvalue()


def as_jsonl(rows: Sequence[Row]) -> str:
    """An object on each line."""
    return "".join(json.dumps(dict(zip(FIELDS, row, strict=True))) + "\n" for row in rows)
