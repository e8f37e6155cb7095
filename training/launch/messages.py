"""What the first of several processes says to the run's own process: a line of standard output each."""

import json
from typing import Any

MARK = "hone-run "
WATCHED = "HONE_RUN_WATCHES"
"""Set where standard input is held open by the run's own process, and ends with it."""


def line(*words: Any) -> str:
    """A message as one line: what it is, then plain data."""
    return f"{MARK}{json.dumps(words, default=str)}\n"


def heard(text: str) -> list[Any] | None:
    """The message in a line; None for any other line, such as a library's."""
    if not text.startswith(MARK):
        return None
    try:
        told = json.loads(text.removeprefix(MARK))
    except json.JSONDecodeError:
        return None
    return told if isinstance(told, list) else None
