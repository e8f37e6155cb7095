"""Rounds: what the champion has learnt already, and how much of it a new round learns again.

A second round starts from the champion and is held to it. Trained on new votes alone, it forgets the earlier
ones bit by bit (McCloskey and Cohen, 1989); shown them again, it does not (replay: Robins, 1995). A snapshot
holds every vote so far, so all are replayed unless a recipe asks for fewer. Knows rows of runs; no trainer.
"""

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass

from assistant import registry
from feedback import snapshots
from feedback.ids import ModelVersionId, SnapshotId
from feedback.snapshots import SnapshotPair
from feedback.store import Store
from training.methods import METHODS

Key = tuple[str, str, str]
"""The prompt's hash, the chosen and the rejected text."""


def key(pair: SnapshotPair) -> Key:
    return pair.prompt_sha256, pair.chosen, pair.rejected


def learnt(store: Store, version_id: ModelVersionId) -> frozenset[Key]:
    """The pairs that the version, and every version before it that it was trained from, was trained on."""
    found: set[Key] = set()
    for snapshot_id in filter(None, _snapshots(store, version_id)):  # a dataset holds no pair
        found |= {key(pair) for pair in snapshots.pairs(store, snapshot_id).train}
    return frozenset(found)


def told(store: Store, method: str, version_id: ModelVersionId) -> str:
    """Which round a run is that starts from the version, and that one's name; empty for methods that make no
    version, and so begin with the base each time.
    """
    if METHODS[method].makes != "version":
        return ""
    return f"round {len(_snapshots(store, version_id)) + 1}, from {registry.get(store, version_id).name}"


def _snapshots(store: Store, version_id: ModelVersionId) -> list[SnapshotId | None]:
    """Of the runs that led to the version, the newest first; None for one that read a dataset."""
    found: list[SnapshotId | None] = []
    run_id = registry.get(store, version_id).run_id
    while run_id is not None:
        row = store.row("SELECT snapshot_id, base_version_id FROM runs WHERE id = ?", run_id)
        if row is None:
            break
        found.append(row["snapshot_id"])
        run_id = registry.get(store, row["base_version_id"]).run_id
    return found


@dataclass(frozen=True)
class Round:
    """The pairs of one round: `new` ones, and `replayed` of `earlier` ones that were learnt before."""

    pairs: tuple[SnapshotPair, ...]
    new: int
    replayed: int
    earlier: int

    def sentence(self) -> str:
        """For the log; empty for a first round."""
        if not self.earlier:
            return ""
        return f"{self.new} pairs are new; of {self.earlier} learnt before, {self.replayed} are replayed."


def choose(pairs: Sequence[SnapshotPair], known: Set[Key], replay: float, seed: int) -> Round:
    """Pure: every new pair, and the share `replay` of those in `known`, drawn by hash and seed."""
    kept = tuple(pair for pair in pairs if key(pair) not in known or _drawn(pair, seed) < replay)
    earlier = sum(key(pair) in known for pair in pairs)
    replayed = sum(key(pair) in known for pair in kept)
    return Round(kept, len(kept) - replayed, replayed, earlier)


def _drawn(pair: SnapshotPair, seed: int) -> float:
    """A uniform number in [0, 1) that is the pair's own."""
    digest = hashlib.sha256(repr((seed, key(pair))).encode()).hexdigest()
    return int(digest[:8], 16) / 2**32
