"""Runs: one training job each, from `queued` to its end. Knows rows, processes and folders; no torch, no
trainer.

A run is a process of its own (training.worker), and its whole state is in the store, so any process may
look at it, cancel it or start the next. At most one trains at a time: the others wait as `queued`, oldest
first.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Row

import psutil

from assistant import registry
from assistant.registry import ModelVersion
from feedback import audit, datasets, snapshots
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import ModelVersionId, RunId, SnapshotId, UserId, new_id
from feedback.snapshots import Snapshot
from feedback.store import Store, now
from training import heads, metrics_copy, recipes, rules
from training.launch import configs
from training.launch.configs import Launch
from training.methods import METHODS
from training.metrics_copy import Recorded
from training.recipes import Recipe

ACTIVE = ("running", "evaluating")
ENDED = ("done", "failed", "cancelled", "interrupted")
RESUMABLE = ("failed", "cancelled", "interrupted")
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Run:
    """One row of `runs`, which reads a snapshot or a dataset.

    `processes` train together; where there are more than one, `launch` names their config, and `launch_yaml`
    is its text as it was when the run was made. `repeats_id`: the run that it repeats (training.repeats).
    `warning`: what goes wrong in it without ending it, in a sentence. `test_dataset_id`: what its classifier
    is measured on. `candidate_id`: the version it made, if any.
    """

    id: RunId
    method: str
    snapshot_id: SnapshotId | None
    dataset_id: str | None
    base_version_id: ModelVersionId
    recipe: Recipe
    state: str
    pid: int | None
    heartbeat_at: str | None
    step: int
    total_steps: int | None
    cancel_requested: bool
    error: str | None
    created_by: UserId
    created_at: str
    started_at: str | None
    ended_at: str | None
    repeats_id: RunId | None
    warning: str | None
    processes: int
    launch: str | None
    launch_yaml: str | None
    test_dataset_id: str | None
    candidate_id: ModelVersionId | None

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    @property
    def source(self) -> str:
        """What it reads, for people."""
        tested = f", measured on {self.test_dataset_id}" if self.test_dataset_id else ""
        return f"snapshot {self.snapshot_id}" if self.snapshot_id else f"dataset {self.dataset_id}{tested}"

    @property
    def crew(self) -> Launch | None:
        """The config of the processes that compute it; None: one does."""
        return configs.read(self.launch, self.launch_yaml) if self.launch and self.launch_yaml else None


@dataclass(frozen=True)
class MetricPoint:
    """One value of one curve: `name` is loss, margin, accuracy, chosen_reward, rejected_reward,
    grad_norm, ...
    """

    step: int
    name: str
    value: float


SELECT = """
SELECT runs.*, (SELECT id FROM model_versions WHERE model_versions.run_id = runs.id) AS candidate_id
FROM runs
"""


@dataclass(frozen=True)
class Beside:
    """What a run may have beside its recipe and its data. `launch`: the config of several processes.
    `repeated`: the run that it repeats, from where that one started. `test_id`: the dataset that measures its
    classifier. `start_id`: the version that it starts from, for what need not start from the champion.
    """

    launch: Launch | None = None
    repeated: Run | None = None
    test_id: str | None = None
    start_id: ModelVersionId | None = None


PLAIN = Beside()


def folder(home: Home, run_id: RunId) -> Path:
    """The run's folder: log.txt, checkpoints, the adapter before it is registered."""
    return home.runs / run_id


def create(store: Store, user_id: UserId, recipe: Recipe, source_id: str, beside: Beside = PLAIN) -> Run:
    """A queued run that starts from the present champion, unless `beside` says another start. Nothing is
    started: see `start`.

    `source_id`: a snapshot's, or a dataset's whose kind is what the method reads. Refuses one without what
    the method reads, a snapshot that was frozen under another chat template than serving's, a reward that
    cannot score the answers, processes that cannot train this recipe on it, and `metrics` for what is not
    installed. Classifiers have more that can be refused: `classify.begin`.
    """
    recipes.check(recipe)
    metrics_copy.check(recipe)
    launch, repeated = beside.launch, beside.repeated
    if launch is not None:
        configs.check(launch, recipe, measured=source_id.startswith("d_"))
    start_id = repeated.base_version_id if repeated else beside.start_id
    begin = registry.get(store, start_id) if start_id else registry.champion(store)
    if recipe.method == "rlhf":
        _check_reward(store, recipe.reward, begin)
    snapshot_id = dataset_id = None
    reads = METHODS[recipe.method].reads
    if source_id.startswith("d_"):
        dataset = datasets.get(store, source_id)
        if dataset.kind != reads:
            raise HoneError(
                f"{recipe.method} does not learn from the dataset {dataset.id}.",
                f"It learns from {reads}; {dataset.id} holds {dataset.kind}.",
                "See `hone data list`.",
            )
        dataset_id = dataset.id
    elif reads in ("text", "labels"):
        raise HoneError(
            f"{recipe.method} does not learn from a snapshot.",
            "It learns from plain text." if reads == "text" else "It learns from texts with labels.",
            f"Run `hone train {recipe.method} --data FILE`.",
        )
    else:
        snapshot_id = _fit(snapshots.get(store, source_id), recipe, begin).id
    run_id = RunId(new_id("r"))
    with store.transaction():
        store.execute(
            """INSERT INTO runs (id, method, snapshot_id, dataset_id, base_version_id, recipe_json,
                 repeats_id, test_dataset_id, state, created_by, created_at, processes, launch, launch_yaml)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)""",
            *(run_id, recipe.method, snapshot_id, dataset_id, begin.id, recipes.to_json(recipe)),
            *(repeated.id if repeated else None, beside.test_id, user_id, now()),
            *((launch.processes, launch.name, launch.text) if launch else (1, None, None)),
        )
        audit.record(
            store, user_id, "run.create", run_id,
            source=source_id, recipe=recipe.name, repeats=repeated.id if repeated else None,
        )  # fmt: skip
    return get(store, run_id)


def _fit(snapshot: Snapshot, recipe: Recipe, begin: ModelVersion) -> Snapshot:
    """The snapshot, if the recipe's method can learn from it."""
    thumbs_alone = METHODS[recipe.method].reads == "thumbs" and not recipe.unpair
    if (snapshot.report.train_thumbs if thumbs_alone else snapshot.train_pairs) == 0:
        wanted, more = ("thumbs", "thumbs") if thumbs_alone else ("pairs", "votes")
        instead = " Or let pairs count as thumbs: --set unpair=true." if thumbs_alone else ""
        raise HoneError(
            f"The snapshot {snapshot.id} has nothing to train on.",
            f"It has no {wanted}, or all of them are held out.",
            f"Collect more {more}, freeze again, and train on that.{instead}",
        )
    if snapshot.chat_template_sha256 != begin.chat_template_sha256:
        raise HoneError(
            f"The snapshot {snapshot.id} was frozen for another chat template than {begin.name} has.",
            "What is trained must be what is served.",
            "Freeze a new snapshot and train on that.",
        )
    return snapshot


def _check_reward(store: Store, reward: str, begin: ModelVersion) -> None:
    """HoneError for a reward model that is not there or stands on another base, unless a run that is not over
    may make it. Its files are looked at when it is read.
    """
    under_way = "SELECT 1 FROM runs WHERE method = 'reward' AND state IN ('queued', 'running', 'evaluating')"
    if rules.named(reward) is None and store.row(under_way) is None:
        heads.check_base(heads.get(store, reward), begin.base_id, begin.chat_template_sha256)


def start(home: Home, run_id: RunId) -> Run:
    """Start the queued run in a process of its own, or leave it queued while another trains.

    Returns the run as it stands. Runs that were queued earlier go first.
    """
    store = Store(home.store_file)
    if get(store, run_id).state == "queued":
        start_next(home, store)
    return get(store, run_id)


def start_next(home: Home, store: Store) -> RunId | None:
    """Launch the oldest queued run if none is training; the one door by which worker processes come to be."""
    sweep(store)
    if store.row("SELECT 1 FROM runs WHERE state IN ('running','evaluating')"):
        return None
    waiting = store.row("SELECT id FROM runs WHERE state = 'queued' ORDER BY created_at, rowid LIMIT 1")
    if waiting is None:
        return None
    run_id = RunId(waiting["id"])
    folder(home, run_id).mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    }
    launched_at = now()
    with (folder(home, run_id) / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.worker", run_id, "--home", str(home.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment,
        )  # fmt: skip
    _children.append(_Child(run_id, launched_at, process))
    return run_id


def is_next(store: Store, run_id: RunId) -> bool:
    """Whether nothing trains before this run does."""
    row = store.row(
        """SELECT 1 FROM runs, (SELECT created_at AS mine FROM runs WHERE id = ?)
           WHERE id <> ?
             AND (state IN ('running','evaluating') OR (state = 'queued' AND created_at < mine))""",
        run_id, run_id,
    )  # fmt: skip
    return row is None


@dataclass(frozen=True)
class _Child:
    """A worker that this process started."""

    run_id: RunId
    launched_at: str
    process: "subprocess.Popen[bytes]"


_children: list[_Child] = []
"""Polled in `sweep`, so that a finished one does not stay a zombie."""


def get(store: Store, run_id: str) -> Run:
    """The run with this id, or the only one whose id starts so; `latest` is the newest. NotFoundError
    otherwise.
    """
    if run_id == "latest":
        found = store.rows(SELECT + "ORDER BY created_at DESC, rowid DESC LIMIT 1")
    else:
        found = store.rows(SELECT + "WHERE runs.id = ?", run_id)
        found = found or store.rows(SELECT + "WHERE substr(runs.id, 1, length(?)) = ?", run_id, run_id)
    if not found and run_id == "latest":
        raise NotFoundError("There is no run yet.", "", "Start one with `hone train dpo`.")
    if len(found) != 1:
        raise NotFoundError(
            f"There is no run {run_id}." if not found else f"More than one run's id starts with {run_id}.",
            "",
            "See `hone runs list`.",
        )
    return _from_row(found[0])


def listing(store: Store) -> list[Run]:
    """All runs, newest first."""
    return [_from_row(row) for row in store.rows(SELECT + "ORDER BY created_at DESC, rowid DESC")]


def _from_row(row: Row) -> Run:
    values = dict(row)
    recipe = recipes.from_json(values.pop("recipe_json"))
    values["cancel_requested"] = bool(values["cancel_requested"])
    return Run(**values, recipe=recipe)


def cancel(store: Store, user_id: UserId, run_id: RunId) -> Run:
    """Ask a run to end. A queued or dead one ends at once; a running one within seconds, by itself."""
    sweep(store)
    with store.transaction():
        run = get(store, run_id)
        if run.state in ("done", "failed", "cancelled"):
            raise ConflictError(f"The run {run.id} cannot be cancelled.", f"It is {run.state}.")
        if run.state in ACTIVE:
            store.execute("UPDATE runs SET cancel_requested = 1 WHERE id = ?", run.id)
        else:
            store.execute("UPDATE runs SET state = 'cancelled', ended_at = ? WHERE id = ?", now(), run.id)
        audit.record(store, user_id, "run.cancel", run.id)
    return get(store, run.id)


def resume(home: Home, store: Store, user_id: UserId, run_id: RunId) -> Run:
    """Queue a run that ended early once more, and start it: it goes on from its last complete checkpoint."""
    sweep(store)
    with store.transaction():
        run = get(store, run_id)
        if run.state not in RESUMABLE:
            raise ConflictError(
                f"The run {run.id} cannot be resumed.",
                f"It is {run.state}.",
                "Only a failed, cancelled or interrupted run can be.",
            )
        store.execute(
            """UPDATE runs
               SET state = 'queued', cancel_requested = 0, error = NULL, warning = NULL, ended_at = NULL,
                 pid = NULL
               WHERE id = ?""",
            run.id,
        )
        audit.record(store, user_id, "run.resume", run.id, step=run.step)
    return start(home, run.id)


def metrics(store: Store, run_id: RunId, names: Sequence[str] = ()) -> list[MetricPoint]:
    """The run's curves, by step; only those named, if any are."""
    found = store.rows(
        "SELECT step, name, value FROM run_metrics WHERE run_id = ? ORDER BY step, name", run_id
    )
    return [MetricPoint(**dict(row)) for row in found if not names or row["name"] in names]


def recorded(store: Store, run_id: RunId, first: int, last: int) -> list[Recorded]:
    """The run's figures of the steps from `first` to `last`, by step."""
    found = store.rows(
        """SELECT step, name, value, created_at FROM run_metrics
           WHERE run_id = ? AND step BETWEEN ? AND ? ORDER BY step, name""",
        run_id, first, last,
    )  # fmt: skip
    return [Recorded(**dict(row)) for row in found]


def record(store: Store, run_id: RunId, step: int, figures: Mapping[str, float]) -> None:
    """Keep the figures of a step; the same name at the same step is replaced."""
    with store.transaction():
        for name, value in figures.items():
            store.execute(
                """INSERT INTO run_metrics (run_id, step, name, value, created_at) VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT (run_id, name, step) DO UPDATE
                     SET value = excluded.value, created_at = excluded.created_at""",
                *(run_id, step, name, value, now()),
            )


def warn(store: Store, run_id: RunId, warning: str | None) -> None:
    """Keep what goes wrong in a run without ending it; None: nothing does any more."""
    store.execute("UPDATE runs SET warning = ? WHERE id = ?", warning, run_id)


def log_text(home: Home, run_id: RunId, last_bytes: int = 65536) -> str:
    """The end of the run's log; empty before it has one."""
    file = folder(home, run_id) / "log.txt"
    if not file.is_file():
        return ""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - last_bytes))
        return log.read().decode("utf-8", errors="replace")


def sweep(store: Store) -> list[RunId]:
    """Mark runs whose process is gone `interrupted`; returns their ids. Cheap, and safe to call at any
    time.
    """
    for child in [one for one in _children if one.process.poll() is not None]:
        _children.remove(child)
        _end_unclaimed(store, child)
    found = []
    for row in store.rows("SELECT id, pid, heartbeat_at FROM runs WHERE state IN ('running','evaluating')"):
        if _alive(row["pid"], row["heartbeat_at"]):
            continue
        changed = store.execute(
            """UPDATE runs
               SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'interrupted' END, ended_at = ?,
                 error = CASE WHEN cancel_requested THEN NULL ELSE ? END
               WHERE id = ? AND pid IS ? AND state IN ('running','evaluating')""",
            now(), killed(row["id"]), row["id"], row["pid"],
        )  # fmt: skip
        if changed:
            found.append(RunId(row["id"]))
    return found


def _end_unclaimed(store: Store, child: _Child) -> None:
    """Nobody else would notice that a run's process ended with an error before it had taken the run."""
    code = child.process.returncode
    if code == 0:
        return
    store.execute(
        """UPDATE runs SET state = 'failed', error = ?, ended_at = ?
           WHERE id = ? AND state = 'queued' AND (heartbeat_at IS NULL OR heartbeat_at < ?)""",
        f"Its process ended before it began, with exit code {code}. Mend what `hone runs log {child.run_id}`"
        f" tells, then `hone runs resume {child.run_id}`.",
        now(), child.run_id, child.launched_at,
    )  # fmt: skip


def killed(run_id: str) -> str:
    """What is said of a run whose process is gone."""
    return (
        "Its process is gone: it was killed, ran out of memory, or the machine stopped. Resume it"
        f" (`hone runs resume {run_id}`), and it goes on from its last complete checkpoint."
    )


def _alive(pid: int | None, heartbeat_at: str | None) -> bool:
    """Whether that process still is the one that wrote the heartbeat: a process born later only inherited
    its number.
    """
    if pid is None or heartbeat_at is None:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.create_time() <= datetime.fromisoformat(heartbeat_at).timestamp() + 1.0
    except psutil.NoSuchProcess:
        return False
