"""The process of one run: `python -m training.worker RUN --home FOLDER`. Trains, registers, evaluates, then
starts the next.

Its state is in the store at every moment, so it may be killed at any: `runs.resume` goes on from the last
complete checkpoint. Knows no page and no person.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from assistant import base as bases
from assistant import registry
from assistant.adapters.families import FAMILIES
from assistant.engines.choose import choose, open_engine
from feedback import full_disc
from feedback.errors import FullDiscError, HoneError
from feedback.home import Home
from feedback.ids import RunId
from feedback.store import Store, now
from training import divergence, gate, heads, lessons, metrics_copy, run_memory, runs
from training.crew import ROWS
from training.launch.launcher import TASK
from training.lessons import Lesson
from training.memory.heap import FEW_KERNELS
from training.methods import METHODS
from training.metrics_copy import Copy, Recorded
from training.recipes import Recipe
from training.runs import Run

HEARTBEAT_S = 2.0
ROOM_BYTES = 1 << 20
"""More than the store and the log take for a run's end."""
NICENESS = 5
"""The server that people chat with shares the processor, and goes first."""


class StopAsked(BaseException):
    """Someone cancelled this run, or asked the process to end. No error: nothing but the run's end
    catches it.
    """


@dataclass(frozen=True)
class Seat:
    """Where this process works."""

    store: Store
    home: Home
    run_id: RunId

    @property
    def folder(self) -> Path:
        return runs.folder(self.home, self.run_id)


def say(text: str) -> None:
    """One line of the run's log."""
    print(f"{now()}  {text}", flush=True)  # noqa: T201 - stdout is the run's log


def claim(store: Store, run_id: RunId) -> bool:
    """Take the one seat for training. False when the run is not queued any more or another run has the
    seat.
    """
    with store.transaction():
        if store.row("SELECT 1 FROM runs WHERE state IN ('running','evaluating')"):
            return False
        return bool(
            store.execute(
                """UPDATE runs SET state = 'running', pid = ?, heartbeat_at = ?, cancel_requested = 0,
                     started_at = coalesce(started_at, ?)
                   WHERE id = ? AND state = 'queued'""",
                os.getpid(), now(), now(), run_id,
            )
        )  # fmt: skip


class Pulse(threading.Thread):
    """Writes the heartbeat, and turns a request to cancel into StopAsked in the main thread."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(daemon=True)
        self.seat, self.asked, self.over = seat, threading.Event(), threading.Event()

    def run(self) -> None:
        store = self.seat.store
        while not self.over.wait(HEARTBEAT_S):
            with suppress(FullDiscError):  # the main thread hears of it soon enough
                store.execute("UPDATE runs SET heartbeat_at = ? WHERE id = ?", now(), self.seat.run_id)
            row = store.row("SELECT cancel_requested FROM runs WHERE id = ?", self.seat.run_id)
            # Asked again at each beat until the main thread has ended: an exception that is raised inside a
            # destructor or a C callback is swallowed there.
            if (row and row["cancel_requested"]) or self.asked.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked.set()
        if not self.over.is_set():
            raise StopAsked


@contextmanager
def pulse(seat: Seat) -> Iterator[Pulse]:
    """A heartbeat while the block runs; SIGTERM becomes StopAsked."""
    beating = Pulse(seat)
    signal.signal(signal.SIGTERM, beating.on_signal)
    beating.start()
    try:
        yield beating
    finally:
        beating.over.set()
        beating.join()


@contextmanager
def room(seat: Seat) -> Iterator[None]:
    """Holds some of the disc while the block runs. A run that fills it can then still write why it ended."""
    file = seat.folder / "room"
    with suppress(OSError):  # none is left: whatever is written next says so
        file.write_bytes(os.urandom(ROOM_BYTES))  # nothing that a file system could keep smaller
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def work(seat: Seat) -> None:
    """Everything between the claim and the end of the run. Skips what an earlier attempt has done already."""
    run = runs.get(seat.store, seat.run_id)
    say(f"Run {run.id}: {run.method}, recipe {run.recipe.name}, {run.source}.")
    say(adapted(run.recipe))
    base = bases.resolve(seat.home, run.recipe.base)
    say(f"Base {base.title}: {base.why}")
    started_from = registry.get(seat.store, run.base_version_id)
    if base.id != started_from.base_id:
        raise HoneError(
            f"The run cannot start from {started_from.name}.",
            f"That version stands on {started_from.base_id}, this run's base is {base.id}.",
            "Start a run with the same --model and --quantize as the server.",
        )
    makes = METHODS[run.method].makes
    if makes == "head":
        make_head(seat, run, base, started_from)
        return
    if makes == "classifier":
        made = lessons.train_classifier(lesson(seat, run, base, started_from), hooks(seat))
        say(f"The classifier {made.name} ({made.id}) is kept. Next: hone classify {made.name} 'a text'")
        return
    if run.candidate_id is None:
        trained = lessons.train(lesson(seat, run, base, started_from), hooks(seat))
        say(run_memory.measured(seat.store, run.id, trained.peak_bytes))
        candidate = registry.add(seat.store, seat.home, base, trained.folder, run.id, run.method)
    else:
        candidate = registry.get(seat.store, run.candidate_id)
    say(f"Model version {candidate.name} ({candidate.id}) is registered.")
    if run.recipe.evaluate and gate.snapshot_for(seat.store, candidate) is None:
        say("Nobody has voted yet, so the gate has nothing to judge it by. Evaluate it when there are votes.")
    elif run.recipe.evaluate:
        judge(seat, base, candidate)


def adapted(recipe: Recipe) -> str:
    """What of the model is trained, and how fast."""
    family = FAMILIES.get(recipe.adapt)
    if family is None:
        return "The trunk stays as it is."
    return f"Adapted by {family.name} ({family.says}), learning rate {recipe.learning_rate:.3g}."


def lesson(seat: Seat, run: Run, base: bases.Base, started_from: registry.ModelVersion) -> Lesson:
    """What the run trains on and from."""
    return Lesson(seat.store, seat.home, run, base, started_from, seat.folder, say)


def make_head(seat: Seat, run: Run, base: bases.Base, started_from: registry.ModelVersion) -> None:
    """Train a reward model and measure it. It is judged by its report, not by the gate: it never answers."""
    head = heads.of_run(seat.store, run.id)
    if head is None:
        made = lessons.train_head(lesson(seat, run, base, started_from), hooks(seat))
        template = bases.chat_template(base).sha256
        head = heads.add(seat.store, seat.home, base, made, run.id, template)
    say(f"{head.name} ({head.id}) is kept. Next: hone train rlhf --set reward={head.name}")


def hooks(seat: Seat) -> Any:
    """Steps and metrics into the store, into the log, and to where the recipe wants them copied."""
    from training.trainers import Hooks

    recipe = runs.get(seat.store, seat.run_id).recipe
    shows, copy = METHODS[recipe.method].shows, copied(seat)

    def on_step(step: int, total: int) -> None:
        seat.store.execute("UPDATE runs SET step = ?, total_steps = ? WHERE id = ?", step, total, seat.run_id)
        # Polled at each step as well as at each heartbeat, so that a cancelled run never takes another step.
        row = seat.store.row("SELECT cancel_requested FROM runs WHERE id = ?", seat.run_id)
        if row and row["cancel_requested"]:
            raise StopAsked

    def on_metrics(step: int, found: dict[str, float]) -> None:
        runs.record(seat.store, seat.run_id, step, found)
        if copy:
            copy.follow(step, set(found))
        # What is measured before the first step and after the last is told in sentences of its own.
        if shown := [f"{name} {found[name]:.4g}" for name in shows if name in found]:
            say(f"step {step}: {', '.join(shown)}")
        if "chosen_reward" in found:
            watch(seat, recipe)

    def on_reference(done: int, total: int) -> None:
        say(f"reference: {done} of {total}")

    def on_size(trained: int, of: int) -> None:
        say(run_memory.sized(seat.store, seat.run_id, trained, of))

    def on_warning(why: str) -> None:
        runs.warn(seat.store, seat.run_id, why)
        say(f"Warning: {why}")

    return Hooks(on_step, on_metrics, on_reference, on_size, on_warning)


def copied(seat: Seat) -> Copy | None:
    """The copy of the run's curves that its recipe asks for; None: it asks for none."""
    run = runs.get(seat.store, seat.run_id)
    place = metrics_copy.place(seat.home, run)
    if place is None:
        return None
    say(f"Its curves are copied. Look: {metrics_copy.shown_by(seat.home, run)}")

    def read(first: int, last: int) -> list[Recorded]:
        found = runs.recorded(seat.store, run.id, first, last)
        return [point for point in found if point.name not in run_memory.KEPT]

    return Copy(place, read)


def watch(seat: Seat, recipe: Recipe) -> None:
    """Warn of chosen answers that fall, on the run and once in its log. Other methods warn themselves."""
    if recipe.method != "dpo":
        return
    gained = [point.value for point in runs.metrics(seat.store, seat.run_id, ["chosen_reward"])]
    warning, before = divergence.falling(recipe, gained), runs.get(seat.store, seat.run_id).warning
    if warning != before:
        runs.warn(seat.store, seat.run_id, warning)
    if warning and not before:
        say(f"Warning: {warning}")


def judge(seat: Seat, base: bases.Base, candidate: registry.ModelVersion) -> None:
    """Run the gate. A candidate that became champion meanwhile (by a typed reason) has nothing left to be
    judged.
    """
    seat.store.execute("UPDATE runs SET state = 'evaluating' WHERE id = ?", seat.run_id)
    if registry.champion(seat.store).id == candidate.id:
        say("It is the champion already; nothing to judge.")
        return
    engine = open_engine(
        seat.home, base, choose(base, bases.BaseChoice(), registry.folder(seat.home, candidate))
    )
    last = ""

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        if (line := f"Evaluating: {what}") != last:
            say(line)
            last = line

    try:
        report = gate.evaluate(seat.store, engine, candidate.id, progress=progress)
    finally:
        engine.close()
    say(f"The gate says: {report.verdict.replace('_', ' ')}.")
    for reason in report.reasons:
        say(f"  {reason}")


def end(seat: Seat, state: str, error: str | None = None) -> None:
    """Write the run's end, and drop what only a resumed run would need once it is done."""
    seat.store.execute(
        "UPDATE runs SET state = ?, error = ?, ended_at = ? WHERE id = ?", state, error, now(), seat.run_id
    )
    say(f"Run {seat.run_id} is {state}." + (f" {error}" if error else ""))
    if state == "done":  # the adapter lives on in its model version
        for name in ("checkpoints", "adapter", "best", ROWS):
            shutil.rmtree(seat.folder / name, ignore_errors=True)
        (seat.folder / TASK).unlink(missing_ok=True)


def run_to_end(seat: Seat) -> str:
    """Do the work and write how it ended; returns the state."""
    try:
        with pulse(seat), room(seat):
            work(seat)
    except StopAsked:
        end(seat, "cancelled")
        return "cancelled"
    except Exception as error:  # noqa: BLE001 - the last edge of the process: a sentence for people
        why = why_ended(seat, error)
        if not isinstance(error, HoneError):
            traceback.print_exc()  # and the traceback for the log
        end(seat, "failed", why)
        return "failed"
    end(seat, "done")
    return "done"


def why_ended(seat: Seat, error: Exception) -> str:
    """An error as a sentence. Where the disc is full, half-written files go first."""
    if full_disc.is_why(error):
        return disc_full(seat)
    if isinstance(error, HoneError):
        return str(error)
    return (
        f"The run stopped on {type(error).__name__}: {error}. Its log has the details."
        f" `hone runs resume {seat.run_id}` tries once more from its last complete checkpoint."
    )


def disc_full(seat: Seat) -> str:
    """Drop what was written by half; what to say then."""
    from training import trainers

    trainers.drop_incomplete(seat.folder / "checkpoints")
    shutil.rmtree(seat.folder / "adapter.part", ignore_errors=True)
    found = trainers.last_checkpoint(seat.folder)
    kept = f"{Path(found).name}, the last complete one, is kept" if found else "There is no checkpoint yet"
    return (
        f"The disc seems to be full: a file could not be written. {kept}."
        f" Free some space, then `hone runs resume {seat.run_id}`."
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.worker", description="The process of one run.")
    parser.add_argument("run")
    parser.add_argument("--home", required=True, type=Path)
    given = parser.parse_args(arguments)
    seat = Seat(Store(Home(given.home).store_file), Home(given.home), RunId(given.run))
    if not claim(seat.store, seat.run_id):
        return 0
    prepare_process(seat)
    state = run_to_end(seat)
    runs.start_next(seat.home, seat.store)
    return 0 if state in ("done", "cancelled") else 2


def prepare_process(seat: Seat) -> None:
    """Step behind the server, keep libraries quiet and at home, and let them leave nothing outside the
    run's folder.
    """
    os.nice(NICENESS)
    scratch = seat.folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    places = {"HF_DATASETS_CACHE": str(scratch), "TMPDIR": str(scratch)}
    quiet |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ.update(quiet | places | FEW_KERNELS)
    logging.captureWarnings(True)


if __name__ == "__main__":
    sys.exit(main())
