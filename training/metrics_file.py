"""The figures of runs as a file: CSV or JSON lines for other tools, a row for each value, or their curves as
SVG. Knows no store."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from feedback.errors import HoneError
from feedback.ids import RunId
from feedback.whole_files import write_aside
from training import curves
from training.curves import Figures

FIELDS = ("run", "step", "name", "value")
Row = tuple[RunId, int, str, float]


def write(file: Path, found: Sequence[Figures]) -> int:
    """Write the figures whole, in the form that the file's ending names; returns how many there are.

    Values keep every digit. HoneError for another ending, and for a place that cannot be written.
    """
    if file.suffix not in WAYS:
        raise HoneError(
            f"{file.name} is no kind of file that figures go to.", "", "End it in .csv, .jsonl or .svg."
        )
    try:
        write_aside(file, WAYS[file.suffix](found))
    except OSError as error:
        raise HoneError(
            f"{file} cannot be written.", f"{error.strerror}.", "Choose another place."
        ) from error
    return sum(len(points) for _, points in found)


def as_csv(found: Sequence[Figures]) -> str:
    """A line of names, then the rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    writer.writerows(_rows(found))
    return out.getvalue()


def as_jsonl(found: Sequence[Figures]) -> str:
    """An object on each line."""
    return "".join(json.dumps(dict(zip(FIELDS, row, strict=True))) + "\n" for row in _rows(found))


def _rows(found: Sequence[Figures]) -> list[Row]:
    return [(run.id, one.step, one.name, one.value) for run, points in found for one in points]


WAYS = {".csv": as_csv, ".jsonl": as_jsonl, ".svg": curves.picture}
