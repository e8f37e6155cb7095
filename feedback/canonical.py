"""Data as text in exactly one way: for hashing, for columns that end in `_json`, for programs.

Knows no table.
"""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any


def plain_json(value: object) -> Any:
    """For json.dumps(default=...): a dataclass as an object, a set as a sorted list, the rest as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def plain(value: Any) -> Any:
    """Dataclasses, at any depth, as data for JSON: the same as the commands' `--json`."""
    return json.loads(json.dumps(value, default=plain_json))


def canonical_json(value: Any) -> str:
    """The same value always gives the same text: sorted keys, no spaces, no escapes.

    NaN and infinity raise ValueError.
    """
    return json.dumps(
        value, default=plain_json, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def sha256_of(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON in UTF-8. A lone surrogate is kept, not an error."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()
