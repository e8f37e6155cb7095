"""Snapshots: pairs and thumbs frozen under a hash, split into train and held-out parts. Never changed.

The hash covers everything that training and the gate read, and the judgements behind it: the same content is
the same snapshot, and a snapshot names exactly the votes, thumbs and better answers it was made from. Knows
no trainer.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from feedback import audit, evidence, frozen_thumbs, splits, thumbs
from feedback.canonical import canonical_json, sha256_of
from feedback.errors import HoneError, NotFoundError
from feedback.ids import ProjectId, PromptVersionId, SnapshotId, UserId
from feedback.message import Turn
from feedback.pairs import DUPLICATES, Derived, Kind, Pair, Source, derive
from feedback.store import Store, now
from feedback.thumbs import Thumb

FORMAT = "hone-snapshot-1"
LATEST = "latest"


@dataclass(frozen=True)
class Preview:
    """What freezing now would give.

    Words are lengths of the texts, one number a pair, in the order of the pairs.
    """

    pairs: int
    train: int
    held_out: int
    dropped: dict[str, int]
    duplicates: int
    chosen_words: tuple[int, ...]
    rejected_words: tuple[int, ...]
    train_thumbs: int = 0
    held_out_thumbs: int = 0


@dataclass(frozen=True)
class Snapshot:
    """A frozen dataset. id is s_ and the first 12 hex digits of sha256; report is the preview at freezing."""

    id: SnapshotId
    sha256: str
    project_id: ProjectId | None
    chat_template_sha256: str
    prompt_version_id: PromptVersionId
    train_pairs: int
    held_out_pairs: int
    report: Preview
    created_by: UserId
    created_at: str


@dataclass(frozen=True)
class SnapshotPair:
    """One frozen pair. position counts from 0 over both parts; split_key is what its side hangs on."""

    position: int
    held_out: bool
    split_key: str
    turns: tuple[Turn, ...]
    chosen: str
    rejected: str
    chosen_is_demonstration: bool
    sources: tuple[Source, ...]
    chosen_ended: bool = True
    rejected_ended: bool = True
    system_text: str = ""

    @property
    def prompt_sha256(self) -> str:
        """The identity of the whole prompt; split_key is that of its first turn."""
        return splits.prompt_sha256(self.turns, self.system_text)


@dataclass(frozen=True)
class SnapshotPairs:
    """The two parts of a snapshot, which share no first user turn."""

    train: tuple[SnapshotPair, ...]
    held_out: tuple[SnapshotPair, ...]


def _key(one: Pair | Thumb) -> str:
    return splits.split_key(one.turns, one.system_text)


def _hashed(pair: SnapshotPair) -> dict[str, Any]:
    """The fields of a pair that its snapshot's hash covers. No system text leaves no trace, so that snapshots
    from before there was one keep their ids.
    """
    return {name: value for name, value in asdict(pair).items() if name != "system_text" or value}


def preview(store: Store, project_id: ProjectId | None = None) -> Preview:
    """What freezing now would give. Fixes nothing and writes nothing."""
    known = evidence.read(store, project_id)
    derived, liked = derive(known), thumbs.derive(known)
    sides = splits.look(store, [*map(_key, derived.pairs), *map(_key, liked)])
    return _report(derived, liked, sides)


def _report(derived: Derived, liked: tuple[Thumb, ...], sides: dict[str, bool]) -> Preview:
    held_out = sum(sides[_key(pair)] for pair in derived.pairs)
    held_out_thumbs = sum(sides[_key(thumb)] for thumb in liked)
    return Preview(
        pairs=len(derived.pairs),
        train=len(derived.pairs) - held_out,
        held_out=held_out,
        dropped={reason: count for reason, count in derived.dropped.items() if reason != DUPLICATES},
        duplicates=derived.dropped.get(DUPLICATES, 0),
        chosen_words=tuple(len(pair.chosen.split()) for pair in derived.pairs),
        rejected_words=tuple(len(pair.rejected.split()) for pair in derived.pairs),
        train_thumbs=len(liked) - held_out_thumbs,
        held_out_thumbs=held_out_thumbs,
    )


def freeze(
    store: Store,
    user_id: UserId,
    chat_template_sha256: str,
    prompt_version_id: PromptVersionId,
    project_id: ProjectId | None = None,
) -> Snapshot:
    """Freeze the pairs and thumbs that follow from the store now, for one chat template and prompt version.

    One transaction. The same content returns the snapshot that is already there. Raises HoneError when there
    is neither.
    """
    with store.transaction():
        known = evidence.read(store, project_id)
        derived, liked = derive(known), thumbs.derive(known)
        if not derived.pairs and not liked:
            raise HoneError(
                "There is nothing to freeze: no pairs and no thumbs.",
                "A pair needs a vote that prefers one reply, thumbs both up and down on replies to one"
                " message, or a better answer that someone wrote.",
                "Compare or rate some replies first.",
            )
        sides = splits.fix(store, [*map(_key, derived.pairs), *map(_key, liked)])
        frozen = tuple(
            SnapshotPair(
                position=position,
                held_out=sides[_key(pair)],
                split_key=_key(pair),
                turns=pair.turns,
                chosen=pair.chosen,
                rejected=pair.rejected,
                chosen_is_demonstration=pair.chosen_is_demonstration,
                sources=pair.sources,
                chosen_ended=pair.chosen_ended,
                rejected_ended=pair.rejected_ended,
                system_text=pair.system_text,
            )
            for position, pair in enumerate(derived.pairs)
        )
        rated = tuple(
            frozen_thumbs.frozen(thumb, _key(thumb), sides[_key(thumb)], place)
            for place, thumb in enumerate(liked)
        )
        covered = [_hashed(pair) for pair in frozen]
        # No thumb leaves no trace, so that snapshots from before there were any keep their ids.
        beside = [[asdict(thumb) for thumb in rated]] if rated else []
        sha256 = sha256_of([FORMAT, covered, chat_template_sha256, prompt_version_id, project_id, *beside])
        row = store.row(f"{SNAPSHOT_SQL} WHERE sha256 = ?", sha256)
        if row is not None:
            return _snapshot(row)
        report = _report(derived, liked, sides)
        snapshot = Snapshot(
            id=SnapshotId(f"s_{sha256[:12]}"),
            sha256=sha256,
            project_id=project_id,
            chat_template_sha256=chat_template_sha256,
            prompt_version_id=prompt_version_id,
            train_pairs=report.train,
            held_out_pairs=report.held_out,
            report=report,
            created_by=user_id,
            created_at=now(),
        )
        _write(store, snapshot, frozen)
        frozen_thumbs.write(store, snapshot.id, rated)
    return snapshot


def _write(store: Store, snapshot: Snapshot, frozen: tuple[SnapshotPair, ...]) -> None:
    store.execute(
        "INSERT INTO snapshots (id, sha256, project_id, chat_template_sha256, prompt_version_id, train_pairs,"
        " held_out_pairs, report_json, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        snapshot.id,
        snapshot.sha256,
        snapshot.project_id,
        snapshot.chat_template_sha256,
        snapshot.prompt_version_id,
        snapshot.train_pairs,
        snapshot.held_out_pairs,
        canonical_json(snapshot.report),
        snapshot.created_by,
        snapshot.created_at,
    )
    for pair in frozen:
        store.execute(
            "INSERT INTO snapshot_pairs (snapshot_id, position, held_out, prompt_sha256, turns_json,"
            " chosen, rejected, chosen_is_demonstration, chosen_ended, rejected_ended, system_text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            snapshot.id,
            pair.position,
            int(pair.held_out),
            pair.split_key,
            canonical_json(pair.turns),
            pair.chosen,
            pair.rejected,
            int(pair.chosen_is_demonstration),
            int(pair.chosen_ended),
            int(pair.rejected_ended),
            pair.system_text,
        )
        for source in pair.sources:
            store.execute(
                "INSERT INTO snapshot_pair_sources (snapshot_id, position, vote_id, rating_id,"
                " demonstration_id)"
                " VALUES (?, ?, ?, ?, ?)",
                snapshot.id,
                pair.position,
                *(source.id if source.kind == kind else None for kind in ("vote", "rating", "demonstration")),
            )
    audit.record(
        store,
        snapshot.created_by,
        "snapshot.freeze",
        snapshot.id,
        train_pairs=snapshot.train_pairs,
        held_out_pairs=snapshot.held_out_pairs,
    )


SNAPSHOT_SQL = """
SELECT id, sha256, project_id, chat_template_sha256, prompt_version_id, train_pairs, held_out_pairs,
       report_json, created_by, created_at FROM snapshots
"""


def _snapshot(row: sqlite3.Row) -> Snapshot:
    values = dict(row)
    report = json.loads(values.pop("report_json"))
    report |= {key: tuple(report[key]) for key in ("chosen_words", "rejected_words")}
    return Snapshot(report=Preview(**report), **values)


def get(store: Store, id_or_prefix: str) -> Snapshot:
    """A snapshot by id, by the beginning of its id (with or without `s_`), or `latest`.

    Raises NotFoundError, HoneError.
    """
    if id_or_prefix == LATEST:
        found = listing(store)[:1]
    else:
        prefix = f"s_{id_or_prefix.removeprefix('s_')}"
        rows = store.rows(f"{SNAPSHOT_SQL} WHERE substr(id, 1, ?) = ? ORDER BY id", len(prefix), prefix)
        found = [_snapshot(row) for row in rows]
    if not found:
        raise NotFoundError(
            f"There is no snapshot {id_or_prefix}.", todo="`hone snapshot list` shows those there are."
        )
    if len(found) > 1:
        raise HoneError(f"{len(found)} snapshots begin with {id_or_prefix}.", todo="Give more of the id.")
    return found[0]


def listing(store: Store) -> list[Snapshot]:
    """All snapshots, newest first."""
    return [_snapshot(row) for row in store.rows(f"{SNAPSHOT_SQL} ORDER BY rowid DESC")]


def pairs(store: Store, snapshot_id: SnapshotId) -> SnapshotPairs:
    """The pairs of a snapshot in its order. Raises NotFoundError."""
    if store.row("SELECT 1 FROM snapshots WHERE id = ?", snapshot_id) is None:
        raise NotFoundError(f"There is no snapshot {snapshot_id}.")
    sources: dict[int, list[Source]] = {}
    for row in store.rows(
        "SELECT position, vote_id, rating_id, demonstration_id FROM snapshot_pair_sources"
        " WHERE snapshot_id = ?",
        snapshot_id,
    ):
        named: dict[Kind, str | None] = {
            "vote": row["vote_id"],
            "rating": row["rating_id"],
            "demonstration": row["demonstration_id"],
        }
        sources.setdefault(row["position"], []).extend(Source(kind, id) for kind, id in named.items() if id)
    parts: dict[bool, list[SnapshotPair]] = {True: [], False: []}
    for row in store.rows(
        "SELECT position, held_out, prompt_sha256, turns_json, chosen, rejected,"
        " chosen_is_demonstration, chosen_ended, rejected_ended, system_text"
        " FROM snapshot_pairs WHERE snapshot_id = ? ORDER BY position",
        snapshot_id,
    ):
        parts[bool(row["held_out"])].append(
            SnapshotPair(
                position=row["position"],
                held_out=bool(row["held_out"]),
                split_key=row["prompt_sha256"],
                turns=tuple(Turn(**turn) for turn in json.loads(row["turns_json"])),
                chosen=row["chosen"],
                rejected=row["rejected"],
                chosen_is_demonstration=bool(row["chosen_is_demonstration"]),
                sources=tuple(sorted(sources.get(row["position"], []))),
                chosen_ended=bool(row["chosen_ended"]),
                rejected_ended=bool(row["rejected_ended"]),
                system_text=row["system_text"],
            )
        )
    return SnapshotPairs(tuple(parts[False]), tuple(parts[True]))
