"""Counts of what the store holds, for `hone feedback stats` and the pages. Reads only; knows no rule."""

from dataclasses import dataclass

from feedback.pairs import from_store
from feedback.store import Store


@dataclass(frozen=True)
class Counts:
    """votes, ratings and demonstrations are those that count; withdrawn are those that do not."""

    conversations: int
    messages: int
    replies: int
    votes: dict[str, int]  # by source: compare, label, api, simulated
    ratings_up: int
    ratings_down: int
    demonstrations: int
    withdrawn: int
    pairs: int
    dropped: dict[str, int]  # by reason, see pairs.Derived
    label_tasks_open: int
    label_tasks_done: int


COUNTS_SQL = """
SELECT
  (SELECT count(*) FROM conversations WHERE deleted_at IS NULL) AS conversations,
  (SELECT count(*) FROM messages) AS messages,
  (SELECT count(*) FROM messages WHERE role = 'assistant') AS replies,
  (SELECT count(*) FROM ratings WHERE value = 1 AND withdrawn_at IS NULL) AS ratings_up,
  (SELECT count(*) FROM ratings WHERE value = -1 AND withdrawn_at IS NULL) AS ratings_down,
  (SELECT count(*) FROM demonstrations WHERE withdrawn_at IS NULL) AS demonstrations,
  (SELECT count(*) FROM votes WHERE withdrawn_at IS NOT NULL)
    + (SELECT count(*) FROM ratings WHERE withdrawn_at IS NOT NULL)
    + (SELECT count(*) FROM demonstrations WHERE withdrawn_at IS NOT NULL) AS withdrawn,
  (SELECT count(*) FROM label_tasks WHERE closed_at IS NULL) AS label_tasks_open,
  (SELECT count(*) FROM label_tasks WHERE closed_at IS NOT NULL) AS label_tasks_done
"""


def counts(store: Store) -> Counts:
    """What the store holds now. `messages` includes replies and the branches not on show."""
    by_source = store.rows(
        "SELECT source, count(*) AS votes FROM votes WHERE withdrawn_at IS NULL GROUP BY source"
        " ORDER BY source"
    )
    derived = from_store(store)
    return Counts(
        **dict(store.rows(COUNTS_SQL)[0]),
        votes={row["source"]: row["votes"] for row in by_source},
        pairs=len(derived.pairs),
        dropped=derived.dropped,
    )
