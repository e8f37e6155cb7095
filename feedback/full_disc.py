"""A disc that is full: known in whatever a library makes of it, and told in words."""

import errno
import sqlite3

from feedback.errors import FullDiscError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OF_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The second: the file through which processes share the store found no room."""
SAID = ("no space left on device", "disk quota exceeded", "iostream error", "inline_container")
"""By libraries that write files without Python: safetensors, and torch, which does not say why it failed."""


def is_why(error: BaseException) -> bool:
    """Whether `error`, or one that led to it, is that of a file for which there was no room."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FullDiscError):
            return True
        if isinstance(seen, OSError) and seen.errno in NO_SPACE:
            return True
        # One that sqlite3 raises for itself, not for SQLite, has no code.
        if getattr(seen, "sqlite_errorcode", None) in OF_SQLITE:
            return True
        if any(words in str(seen).lower() for words in SAID):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def check(error: BaseException) -> None:
    """FullDiscError where that is why; nothing for any other error."""
    if is_why(error):
        raise FullDiscError from error
