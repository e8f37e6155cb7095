"""Labels on prompt versions: which one people work on, which one answers, and the way back.

Owns prompt_labels and prompt_moves. `draft` follows whatever was saved last. Rooms move `production` through
`prompts.service`, which knows trials too. Each move is one transaction, and in the audit log. Whether
somebody may move a label is asked where they ask for it: by the page, the route, the command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import SYSTEM_USER, PromptVersionId, UserId, new_id
from feedback.store import Store, now

Label = Literal["draft", "production"]
Kind = Literal["shipped", "put", "back"]
Ends = tuple[PromptVersionId | None, PromptVersionId | None]
"""From where a label goes to where; None: nowhere."""

LONGEST_NOTE = 500


@dataclass(frozen=True)
class Move:
    """One move of a strategy's production label. `shipped`: it followed its file, of
    Hone or of the home, also out of service when the file was taken away.

    `from_id` None: nothing was in production; `to_id` None: nothing is since.
    """

    id: str
    name: str
    from_id: PromptVersionId | None
    to_id: PromptVersionId | None
    kind: Kind
    note: str
    user_id: UserId
    user_name: str
    created_at: str


def in_production(store: Store, name: str) -> PromptVersionId | None:
    """The version of `name` that the production label is on."""
    return _labelled(store, name, "production")


def draft(store: Store, name: str) -> PromptVersionId | None:
    """The version of `name` that the draft label is on."""
    return _labelled(store, name, "draft")


def _labelled(store: Store, name: str, label: Label) -> PromptVersionId | None:
    row = store.row(
        "SELECT prompt_version_id AS id FROM prompt_labels WHERE name = ? AND label = ?", name, label
    )
    return row["id"] if row else None


def labels_of(store: Store, version_id: PromptVersionId) -> tuple[Label, ...]:
    """The labels that are on one version, `production` last."""
    rows = store.rows(
        "SELECT label FROM prompt_labels WHERE prompt_version_id = ? ORDER BY label", version_id
    )
    return tuple(row["label"] for row in rows)


def move_draft(store: Store, user_id: UserId, version_id: PromptVersionId) -> None:
    """Put the draft label of the version's strategy on it. Raises NotFoundError."""
    with store.transaction():
        name = name_of(store, version_id)
        before = draft(store, name)
        if before == version_id:
            return
        _place(store, name, "draft", version_id, user_id)
        audit.record(store, user_id, "prompt.draft", version_id, name=name, previous=before)


def put(store: Store, user_id: UserId, version_id: PromptVersionId, note: str = "") -> None:
    """Put the production label of the version's strategy on it; it is elsewhere. Raises NotFoundError."""
    with store.transaction():
        name = name_of(store, version_id)
        before = in_production(store, name)
        _place(store, name, "production", version_id, user_id)
        _record(store, user_id, name, "put", (before, version_id), note)


def go_back(store: Store, user_id: UserId, name: str, note: str = "") -> Ends:
    """Take back the last move that still stands, and tell from where to where: each call goes one further.

    A strategy that a person made and put in production once is then in production no more, so that no chat
    offers it. ConflictError when there is nothing to go back to.
    """
    with store.transaction():
        standing = line(_oldest_first(store, name))
        if not standing:
            raise ConflictError(f"No version of {name} is in production.", todo="Put one there first.")
        before, after = standing[-1], standing[-2] if len(standing) > 1 else None
        if after is None and _from_file(store, before):
            raise ConflictError(
                f"There is nothing to go back to: {name} has had no other version in production.",
                todo="Put another version in production instead.",
            )
        if after is None:
            store.execute("DELETE FROM prompt_labels WHERE name = ? AND label = 'production'", name)
        else:
            _place(store, name, "production", after, user_id)
        _record(store, user_id, name, "back", (before, after), note)
        return before, after


def previous(store: Store, name: str) -> PromptVersionId | None:
    """What `go_back` would put in production; None: nothing, or it cannot go back."""
    standing = line(_oldest_first(store, name))
    return standing[-2] if len(standing) > 1 else None


def can_go_back(store: Store, name: str) -> bool:
    """Whether `go_back` would do anything."""
    standing = line(_oldest_first(store, name))
    return len(standing) > 1 or (len(standing) == 1 and not _from_file(store, standing[0]))


def line(moves: Sequence[Move]) -> tuple[PromptVersionId, ...]:
    """Pure: the versions that going back leads through, the present one last. `moves` is oldest first."""
    standing: list[PromptVersionId] = []
    for move in moves:
        if move.kind == "back":
            standing = standing[:-1]
        elif move.to_id is not None:
            standing.append(move.to_id)
        else:
            standing = []  # its file is gone
    return tuple(standing)


def moves(store: Store, name: str) -> list[Move]:
    """Every move of a strategy's production label, the latest first."""
    return _oldest_first(store, name)[::-1]


def follow_file(store: Store, name: str, version_id: PromptVersionId) -> None:
    """Let production follow its file, of Hone or of the home, unless a person has placed the label.

    Within the caller's transaction.
    """
    row = store.row(
        "SELECT prompt_version_id AS id, moved_by FROM prompt_labels WHERE name = ? AND label = 'production'",
        name,
    )
    if row is not None and (row["moved_by"] != SYSTEM_USER or row["id"] == version_id):
        return
    _place(store, name, "production", version_id, SYSTEM_USER)
    _record(store, SYSTEM_USER, name, "shipped", (row["id"] if row else None, version_id), "")


def followers(store: Store) -> list[str]:
    """The strategies that are in production because a file of the home says so."""
    rows = store.rows(
        "SELECT l.name FROM prompt_labels l JOIN prompt_versions v ON v.id = l.prompt_version_id"
        " WHERE l.label = 'production' AND l.moved_by = ? AND v.origin = 'own' ORDER BY l.name",
        SYSTEM_USER,
    )
    return [row["name"] for row in rows]


def leave_with_file(store: Store, name: str) -> None:
    """Take `name`, one of `followers`, out of service: its file is gone. Within the caller's transaction."""
    before = in_production(store, name)
    store.execute("DELETE FROM prompt_labels WHERE name = ? AND label = 'production'", name)
    _record(store, SYSTEM_USER, name, "shipped", (before, None), "")


def checked_note(note: str) -> str:
    """A note without outer space. HoneError for a very long one."""
    note = note.strip()
    if len(note) > LONGEST_NOTE:
        raise HoneError(
            f"The note has {len(note)} characters.", f"It may have {LONGEST_NOTE}.", "Shorten it."
        )
    return note


def _place(store: Store, name: str, label: Label, version_id: PromptVersionId, user_id: UserId) -> None:
    store.execute(
        "INSERT INTO prompt_labels (name, label, prompt_version_id, moved_by, moved_at)"
        " VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name, label) DO UPDATE SET prompt_version_id = excluded.prompt_version_id,"
        " moved_by = excluded.moved_by, moved_at = excluded.moved_at",
        *(name, label, version_id, user_id, now()),
    )


def _record(
    store: Store,
    user_id: UserId,
    name: str,
    kind: Kind,
    ends: Ends,
    note: str,
) -> None:
    note = checked_note(note)
    store.execute(
        "INSERT INTO prompt_moves (id, name, from_version_id, to_version_id, kind, note, user_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(new_id("pl"), name, *ends, kind, note, user_id, now()),
    )
    audit.record(
        store, user_id, f"prompt.production.{kind}", ends[1] or name, name=name, previous=ends[0], note=note
    )


def name_of(store: Store, version_id: PromptVersionId) -> str:
    """The strategy that a version is of. Raises NotFoundError."""
    row = store.row("SELECT name FROM prompt_versions WHERE id = ?", version_id)
    if row is None:
        raise NotFoundError(f"There is no prompt version {version_id}.")
    return str(row["name"])


def _from_file(store: Store, version_id: PromptVersionId) -> bool:
    """Whether each start reads it anew: then it is never out of service."""
    row = store.row("SELECT origin FROM prompt_versions WHERE id = ?", version_id)
    return row is not None and row["origin"] in ("shipped", "own")


def _oldest_first(store: Store, name: str) -> list[Move]:
    rows = store.rows(
        "SELECT m.id, m.name, m.from_version_id AS from_id, m.to_version_id AS to_id, m.kind, m.note,"
        " m.user_id, u.name AS user_name, m.created_at FROM prompt_moves m JOIN users u ON u.id = m.user_id"
        " WHERE m.name = ? ORDER BY m.rowid",
        name,
    )
    return [Move(**dict(row)) for row in rows]
