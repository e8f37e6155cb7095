"""Trials: the conversations of one strategy, divided between two or more of its versions. Knows no model.

Owns prompt_trials and prompt_trial_arms. A conversation stays with the version that it fell to: which one
follows from its id and the trial's, so that no row is written for it and every process gives the same answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import ConversationId, MessageId, PromptVersionId, TrialId, UserId, new_id
from feedback.store import Store, now
from prompts import labels, library

MOST_ARMS = 8


@dataclass(frozen=True)
class Arm:
    """A version, and its share of the conversations. Shares given need not sum to 1; those kept do."""

    version_id: PromptVersionId
    share: float


@dataclass(frozen=True)
class Trial:
    """A trial, running while `ended_at` is None. Times are UTC, ISO 8601."""

    id: TrialId
    name: str
    arms: tuple[Arm, ...]
    note: str
    started_by: UserId
    started_at: str
    ended_by: UserId | None
    ended_at: str | None


def start(store: Store, user_id: UserId, name: str, arms: Sequence[Arm], note: str = "") -> Trial:
    """Divide the conversations of `name` between `arms`, from each one's next reply on.

    HoneError for fewer than two versions, one named twice, one of another strategy, or a share of nothing;
    ConflictError while a trial of it runs, or while it is not in production.
    """
    shares = _checked(arms)
    trial_id = TrialId(new_id("tr"))
    with store.transaction():
        if labels.in_production(store, name) is None:
            raise ConflictError(f"No version of {name} is in production.", todo="Put one there first.")
        if running(store, name):
            raise ConflictError(f"A trial of {name} is running.", todo="Stop it first.")
        for arm in shares:
            if library.get(store, arm.version_id).name != name:
                raise HoneError(f"{arm.version_id} is no version of {name}.", todo="Choose another.")
        store.execute(
            "INSERT INTO prompt_trials (id, name, note, started_by, started_at) VALUES (?, ?, ?, ?, ?)",
            *(trial_id, name, labels.checked_note(note), user_id, now()),
        )
        for position, arm in enumerate(shares):
            store.execute(
                "INSERT INTO prompt_trial_arms (trial_id, position, prompt_version_id, share)"
                " VALUES (?, ?, ?, ?)",
                *(trial_id, position, arm.version_id, arm.share),
            )
        audit.record(
            store, user_id, "prompt.trial.start", trial_id,
            name=name, arms={arm.version_id: arm.share for arm in shares},
        )  # fmt: skip
    return get(store, trial_id)


def stop(store: Store, user_id: UserId, name: str) -> Trial:
    """End the running trial: the version in production answers again. NotFoundError when none runs."""
    ended = stop_if_running(store, user_id, name)
    if ended is None:
        raise NotFoundError(f"No trial of {name} is running.")
    return ended


def stop_if_running(store: Store, user_id: UserId, name: str) -> Trial | None:
    """The same; None when none runs."""
    with store.transaction():
        trial = running(store, name)
        if trial is None:
            return None
        store.execute(
            "UPDATE prompt_trials SET ended_by = ?, ended_at = ? WHERE id = ?", user_id, now(), trial.id
        )
        audit.record(store, user_id, "prompt.trial.stop", trial.id, name=name)
    return get(store, trial.id)


def running(store: Store, name: str) -> Trial | None:
    """The trial of a strategy that runs now."""
    found = _trials(store, "t.name = ? AND t.ended_at IS NULL", name)
    return found[0] if found else None


def get(store: Store, trial_id: TrialId) -> Trial:
    """One trial. Raises NotFoundError."""
    found = _trials(store, "t.id = ?", trial_id)
    if not found:
        raise NotFoundError(f"There is no trial {trial_id}.")
    return found[0]


def history(store: Store, name: str) -> list[Trial]:
    """Every trial of a strategy, the latest first."""
    return _trials(store, "t.name = ?", name)


def arm_of(trial: Trial, conversation_id: ConversationId) -> PromptVersionId:
    """Pure: the version that a conversation falls to, always the same one of the same trial."""
    left = _lot(trial.id, conversation_id)
    for arm in trial.arms[:-1]:
        left -= arm.share
        if left < 0:
            return arm.version_id
    return trial.arms[-1].version_id


def rival_of(trial: Trial, version_id: PromptVersionId, reply_id: MessageId) -> PromptVersionId | None:
    """Pure: another version of the trial to set against a reply of `version_id`, each with equal odds; None
    when the reply is not of the trial. Votes on such a pair are what the versions' win rates stand on.
    """
    others = [arm.version_id for arm in trial.arms if arm.version_id != version_id]
    if len(others) == len(trial.arms):
        return None
    return others[int(_lot(trial.id, reply_id) * len(others))]


def _lot(trial_id: TrialId, drawn_for: str) -> float:
    """A number in [0, 1) that follows from the two ids, spread evenly."""
    return int(hashlib.sha256(f"{trial_id} {drawn_for}".encode()).hexdigest()[:13], 16) / 16**13


def _checked(arms: Sequence[Arm]) -> list[Arm]:
    """The arms with shares that sum to 1."""
    if not 2 <= len(arms) <= MOST_ARMS:
        raise HoneError(f"A trial divides conversations between 2 to {MOST_ARMS} versions, not {len(arms)}.")
    if len({arm.version_id for arm in arms}) < len(arms):
        raise HoneError("A version stands twice in the trial.", todo="Name each once.")
    total = sum(arm.share for arm in arms)
    if not all(0 < arm.share < float("inf") for arm in arms) or not total < float("inf"):
        raise HoneError("Each version of a trial needs a share above 0.")
    found = [Arm(arm.version_id, arm.share / total) for arm in arms]
    if not all(0 < arm.share < 1 for arm in found):
        raise HoneError("A share is too small to give any conversation.", todo="Choose a larger one.")
    return found


def _trials(store: Store, where: str, value: str) -> list[Trial]:
    rows = store.rows(
        "SELECT t.id, t.name, t.note, t.started_by, t.started_at, t.ended_by, t.ended_at"  # noqa: S608
        f" FROM prompt_trials t WHERE {where} ORDER BY t.started_at DESC, t.rowid DESC",
        value,
    )
    return [Trial(**{**dict(row), "arms": _arms(store, row["id"])}) for row in rows]


def _arms(store: Store, trial_id: TrialId) -> tuple[Arm, ...]:
    rows = store.rows(
        "SELECT prompt_version_id, share FROM prompt_trial_arms WHERE trial_id = ? ORDER BY position",
        trial_id,
    )
    return tuple(Arm(row["prompt_version_id"], row["share"]) for row in rows)
