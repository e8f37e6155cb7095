"""The weights that an engine wrote to answer with: how much room they take, and clearing them.

Knows files only. Each has the size of a model in 8 bits, and is computed again when its version is asked for.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from feedback.home import Home

UNFINISHED_S = 600
"""A file that some process writes aside and has not touched for so long is what a killed one left behind."""


@dataclass(frozen=True)
class Cleared:
    """What was deleted, and what could not be, since a running process reads it (Windows forbids that)."""

    files: int
    size_bytes: int
    in_use: tuple[str, ...]


def kept(home: Home) -> list[Path]:
    """The files, and what killed processes left of others."""
    if not home.served.is_dir():
        return []
    return [file for file in sorted(home.served.iterdir()) if file.is_file() and not _being_written(file)]


def clear(home: Home) -> Cleared:
    """Delete them all. A server that answers from one goes on: it has it mapped, and its room on the disc is
    free when that server ends.
    """
    deleted: list[int] = []
    in_use: list[str] = []
    for file in kept(home):
        size = file.stat().st_size
        try:
            file.unlink()
            deleted.append(size)
        except PermissionError:
            in_use.append(file.name)
    return Cleared(len(deleted), sum(deleted), tuple(in_use))


def _being_written(file: Path) -> bool:
    return file.name.startswith(".") and time.time() - file.stat().st_mtime < UNFINISHED_S
