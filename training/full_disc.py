"""A disc that is full: known in whatever a library makes of it, and told in words."""

import errno
import sqlite3

from feedback.ids import RunId

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
SAID = ("no space left on device", "disk quota exceeded", "iostream error", "inline_container")
"""By libraries that write files without Python: safetensors, and torch, which does not say why it failed."""


def is_why(error: BaseException) -> bool:
    """Whether `error`, or one that led to it, is that of a file for which there was no room."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in NO_SPACE:
            return True
        # One that sqlite3 raises for itself, not for SQLite, has no code.
        if getattr(seen, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if any(words in str(seen).lower() for words in SAID):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def told(run_id: RunId, checkpoint: str | None) -> str:
    """For the run that it ended. `checkpoint`: the name of the last complete one."""
    kept = f"{checkpoint}, the last complete one, is kept" if checkpoint else "There is no checkpoint yet"
    return (
        f"The disc seems to be full: a file could not be written. {kept}."
        f" Free some space, then `hone runs resume {run_id}`."
    )
