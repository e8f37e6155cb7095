"""The thumbs of a snapshot: kept with it, under its hash, in its two parts. Knows no rule and no trainer."""

import json
from dataclasses import dataclass

from feedback.canonical import canonical_json
from feedback.ids import SnapshotId
from feedback.message import Turn
from feedback.store import Store
from feedback.thumbs import Thumb


@dataclass(frozen=True)
class SnapshotThumb:
    """One frozen thumb: a reply, and whether people liked it. split_key is what its side hangs on."""

    position: int
    held_out: bool
    split_key: str
    turns: tuple[Turn, ...]
    reply: str
    ended: bool
    liked: bool
    rating_ids: tuple[str, ...]
    system_text: str = ""


@dataclass(frozen=True)
class SnapshotThumbs:
    """The two parts of a snapshot's thumbs, which share no first user turn."""

    train: tuple[SnapshotThumb, ...]
    held_out: tuple[SnapshotThumb, ...]


def frozen(thumb: Thumb, split_key: str, held_out: bool, position: int) -> SnapshotThumb:
    """A thumb at its place in a snapshot."""
    return SnapshotThumb(
        position, held_out, split_key, thumb.turns, thumb.reply, thumb.ended, thumb.liked, thumb.rating_ids,
        thumb.system_text,
    )  # fmt: skip


def write(store: Store, snapshot_id: SnapshotId, thumbs: tuple[SnapshotThumb, ...]) -> None:
    """Keep a snapshot's thumbs. The caller has the transaction."""
    for one in thumbs:
        store.execute(
            "INSERT INTO snapshot_thumbs (snapshot_id, position, held_out, prompt_sha256, turns_json,"
            " system_text, reply, ended, liked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(snapshot_id, one.position, int(one.held_out), one.split_key, canonical_json(one.turns)),
            *(one.system_text, one.reply, int(one.ended), int(one.liked)),
        )
        for rating_id in one.rating_ids:
            store.execute(
                "INSERT INTO snapshot_thumb_sources (snapshot_id, position, rating_id) VALUES (?, ?, ?)",
                *(snapshot_id, one.position, rating_id),
            )


def read(store: Store, snapshot_id: SnapshotId) -> SnapshotThumbs:
    """The thumbs of a snapshot in its order; none where it was frozen before there were any."""
    sources: dict[int, list[str]] = {}
    for row in store.rows(
        "SELECT position, rating_id FROM snapshot_thumb_sources WHERE snapshot_id = ? ORDER BY rating_id",
        snapshot_id,
    ):
        sources.setdefault(row["position"], []).append(row["rating_id"])
    parts: dict[bool, list[SnapshotThumb]] = {True: [], False: []}
    for row in store.rows(
        "SELECT position, held_out, prompt_sha256, turns_json, system_text, reply, ended, liked"
        " FROM snapshot_thumbs WHERE snapshot_id = ? ORDER BY position",
        snapshot_id,
    ):
        parts[bool(row["held_out"])].append(
            SnapshotThumb(
                position=row["position"],
                held_out=bool(row["held_out"]),
                split_key=row["prompt_sha256"],
                turns=tuple(Turn(**turn) for turn in json.loads(row["turns_json"])),
                reply=row["reply"],
                ended=bool(row["ended"]),
                liked=bool(row["liked"]),
                rating_ids=tuple(sources.get(row["position"], [])),
                system_text=row["system_text"],
            )
        )
    return SnapshotThumbs(tuple(parts[False]), tuple(parts[True]))
