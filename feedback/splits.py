"""Which prompts are held out: never trained on, only measured on. Knows no pair and no model.

The side is decided by the first user turn alone (and a program's system text), so that a conversation
and its own continuations never straddle the split, and it is fixed in the store the first time the prompt is
seen: a later rule cannot move what was trained on.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence

from feedback.canonical import sha256_of
from feedback.message import Turn
from feedback.store import Store, now

HELD_OUT_SHARE = 0.25
SALT = "hone-split-1"


def prompt_sha256(turns: Sequence[Turn], system_text: str = "") -> str:
    """The identity of a prompt: SHA-256 of its turns' roles and contents, NFC-normalised and stripped.

    A caller's `system_text` is part of it: under other instructions it is another prompt.
    """
    said = [("system", system_text)] if system_text.strip() else []
    said += [(turn.role, turn.content) for turn in turns]
    return sha256_of([[role, unicodedata.normalize("NFC", content).strip()] for role, content in said])


def split_key(turns: Sequence[Turn], system_text: str = "") -> str:
    """What the side hangs on: the system text and the first turn. Raises IndexError without turns."""
    return prompt_sha256([turns[0]], system_text)


def is_held_out(key: str) -> bool:
    """The rule for a key never seen before: a uniform number from its hash, below HELD_OUT_SHARE."""
    digest = hashlib.sha256((SALT + key).encode()).hexdigest()
    return int(digest[:8], 16) / 2**32 < HELD_OUT_SHARE


def look(store: Store, keys: Iterable[str]) -> dict[str, bool]:
    """The side of each key (True: held out), fixed or as it would be fixed. Writes nothing."""
    wanted = sorted(set(keys))
    fixed = store.rows(
        "SELECT prompt_sha256, held_out FROM prompt_splits"
        " WHERE prompt_sha256 IN (SELECT value FROM json_each(?))",
        json.dumps(wanted),
    )
    return {key: is_held_out(key) for key in wanted} | {
        row["prompt_sha256"]: bool(row["held_out"]) for row in fixed
    }


def fix(store: Store, keys: Iterable[str]) -> dict[str, bool]:
    """The side of each key (True: held out), fixed from now on. A key that was seen before keeps its side."""
    with store.transaction():
        sides = look(store, keys)
        for key, held_out in sides.items():
            store.execute(
                "INSERT OR IGNORE INTO prompt_splits (prompt_sha256, held_out, first_seen_at)"
                " VALUES (?, ?, ?)",
                key,
                int(held_out),
                now(),
            )
    return sides
