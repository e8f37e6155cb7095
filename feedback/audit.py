"""The audit log: who did what to which thing, and when.

Append-only (triggers hold it so). Knows no rule about what must be logged.
"""

import json
from dataclasses import dataclass
from typing import Any

from feedback.ids import UserId
from feedback.store import Store, now


@dataclass(frozen=True)
class Entry:
    """One line of the log. `user_name` is the name as it is today."""

    id: int
    at: str
    user_id: UserId
    user_name: str
    action: str
    subject_id: str
    detail: dict[str, Any]


def record(store: Store, user_id: UserId, action: str, subject_id: str, **detail: Any) -> None:
    """Append an entry.

    Call it inside the transaction of the deed, so that neither is there without the other.
    """
    store.execute(
        "INSERT INTO audit_log (at, user_id, action, subject_id, detail_json) VALUES (?, ?, ?, ?, ?)",
        now(),
        user_id,
        action,
        subject_id,
        json.dumps(detail, ensure_ascii=False, sort_keys=True),
    )


def entries(store: Store, limit: int = 100) -> list[Entry]:
    """The latest `limit` entries, newest first."""
    rows = store.rows(
        "SELECT a.id, a.at, a.user_id, u.name AS user_name, a.action, a.subject_id, a.detail_json"
        " FROM audit_log a JOIN users u ON u.id = a.user_id ORDER BY a.id DESC LIMIT ?",
        limit,
    )
    return [
        Entry(
            row["id"],
            row["at"],
            row["user_id"],
            row["user_name"],
            row["action"],
            row["subject_id"],
            json.loads(row["detail_json"]),
        )
        for row in rows
    ]
