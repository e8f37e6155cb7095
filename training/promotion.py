"""Promotion: who answers from now on. Asks the gate, then lets the registry move the pointer. Knows no
torch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from assistant import registry
from assistant.engines.interface import Engine
from assistant.registry import ModelVersion, Promotion
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import ModelVersionId, UserId
from feedback.store import Store
from training import gate
from training.gate import GateReport

MIN_REASON = 10
"""Characters of a typed reason for an override."""

WORDS = {"pass": "pass", "fail": "fail", "not_enough_evidence": "not enough evidence"}


@dataclass(frozen=True)
class Moved:
    """What a promotion or a rollback did. `report` is the gate report it rests on, if any."""

    before: ModelVersion
    after: ModelVersion
    report: GateReport | None
    override: str | None


def promote(store: Store, home: Home, user_id: UserId, candidate: str, override: str | None = None) -> Moved:
    """Make `candidate` (id or name) the champion.

    Needs a report with verdict *pass* against the present champion: a pass against an earlier one proves
    nothing now. Without one, `override` must say why in at least 10 characters; the audit log keeps it.
    """
    with store.transaction():  # so that the champion cannot change between the check and the move
        before, after = registry.champion(store), registry.get(store, candidate)
        if after.id == before.id:
            raise ConflictError(f"{after.name} is the champion already.", "", "Nothing needs to be done.")
        report = gate.report_against_champion(store, after.id)
        passed = report is not None and report.verdict == "pass"
        reason = None if passed else _checked(override, after, before, report)
        registry.move_champion(
            store, home, user_id, after.id, "promote",
            gate_report_id=report.id if report else None, override_reason=reason,
        )  # fmt: skip
    return Moved(before, after, report, reason)


@contextmanager
def made_ready(engine: Engine, store: Store, version_id: str) -> Iterator[None]:
    """Have the engine of this process ready for a version before the pointer moves to it, inside the block.

    A version that the engine cannot load is refused there, while the champion answers on; when the block
    fails, the engine stays with the champion.
    """
    engine.load(registry.get(store, version_id))
    try:
        yield
    except HoneError:
        engine.load(registry.champion(store))
        raise


def _checked(
    override: str | None, candidate: ModelVersion, champion: ModelVersion, report: GateReport | None
) -> str:
    """The typed reason, stripped; or the refusal that says what is missing."""
    found = f"The gate's verdict is {WORDS[report.verdict]}." if report else (
        f"It has not been evaluated against the champion {champion.name}."
    )  # fmt: skip
    if override is None:
        raise ConflictError(
            f"{candidate.name} cannot be promoted.",
            found,
            f"Run `hone evaluate {candidate.name}`, or promote it with a typed reason (`--override REASON`).",
        )
    if len(override.strip()) < MIN_REASON:
        raise HoneError(
            f"{candidate.name} was not promoted.",
            found,
            f"To promote it all the same, give a reason of at least {MIN_REASON} characters.",
        )
    return override.strip()


def line(history: Sequence[Promotion]) -> tuple[ModelVersionId, ...]:
    """Pure: the champions that a rollback can go back through, the present one last. `history` is oldest
    first.

    A promotion adds to the line; a rollback takes its end away. So rolling back twice goes two champions
    back, never to and fro, and what was rolled back comes again only by being promoted again.
    """
    standing: list[ModelVersionId] = []
    for move in history:
        if move.kind == "rollback" and len(standing) > 1:
            standing.pop()
        elif move.kind != "rollback":
            standing.append(move.to_version_id)
    return tuple(standing)


def roll_back(store: Store, home: Home, user_id: UserId) -> Moved:
    """Give the word back to the champion before this one. ConflictError when there was none."""
    with store.transaction():
        before = registry.champion(store)
        standing = line(_oldest_first(store))
        if len(standing) < 2:
            raise ConflictError("There is nothing to roll back to.", f"{before.name} is the first champion.")
        after = registry.get(store, standing[-2])
        registry.move_champion(store, home, user_id, after.id, "rollback")
    return Moved(before, after, None, None)


def previous(store: Store) -> ModelVersion | None:
    """Whom a rollback would put back; None when nobody."""
    standing = line(_oldest_first(store))
    return registry.get(store, standing[-2]) if len(standing) > 1 else None


def _oldest_first(store: Store) -> list[Promotion]:
    """The registry's history, in the order in which the moves were written."""
    return registry.history(store)[::-1]
