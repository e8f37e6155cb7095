"""A run's curves for another tool as well: TensorBoard's files, or trackio's database, while it trains.

The store is the truth and this a copy of it: added to while a run goes on from step to step, and made anew
where a figure comes once more, as when a killed run goes on from its checkpoint. So no step stands there
twice. Knows figures and files; no store, and no trainer. Nothing of it leaves the machine.
"""

import dataclasses
import importlib.util
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from feedback.errors import HoneError
from feedback.home import Home
from training.methods import METHODS
from training.recipes import Recipe

if TYPE_CHECKING:
    from training.runs import Run

TRACKIO = "trackio>=0.43,<0.44"
"""What pyproject's extra asks for."""
PROJECT = "hone"
"""All runs of a home stand in one project of trackio's, so that it draws them over each other."""


@dataclass(frozen=True)
class Recorded:
    """One value of one curve, and when it was recorded (UTC, ISO 8601)."""

    step: int
    name: str
    value: float
    created_at: str


class Place(Protocol):
    """Where a run's curves are copied to."""

    def begin(self, points: Sequence[Recorded]) -> None:
        """Hold these points, by step, and no other of this run."""

    def add(self, points: Sequence[Recorded]) -> None:
        """Hold these as well, all of one step."""


class Copy:
    """Follows the curves of one run. `read(first, last)`: what the store has of these steps, by step."""

    def __init__(self, place: Place, read: Callable[[int, int], Sequence[Recorded]]) -> None:
        self.place, self.read = place, read
        self.step: int | None = None
        self.names: set[str] = set()

    def follow(self, step: int, names: set[str]) -> None:
        """Copy what the store was just told of a step: these figures."""
        if self.step is None or step < self.step or (step == self.step and names & self.names):
            self.step = max(step, self.step or 0)
            points = self.read(0, self.step)
            self.place.begin(points)
            self.names = {point.name for point in points if point.step == self.step}
            return
        self.place.add([point for point in self.read(step, step) if point.name in names])
        self.names = self.names | names if step == self.step else names
        self.step = step


def check(recipe: Recipe) -> None:
    """HoneError where the recipe's `metrics` asks for what is not installed."""
    if recipe.metrics == "trackio" and importlib.util.find_spec("trackio") is None:
        raise HoneError(
            "The run's figures cannot go to trackio.",
            "trackio is not installed.",
            f"Run `pip install '{TRACKIO}'` in Hone's environment, or set metrics to tensorboard or none.",
        )


def place(home: Home, run: "Run") -> Place | None:
    """Where the run's recipe wants its curves copied to; None: nowhere. HoneError as for `check`: a
    run may be resumed long after it was made.
    """
    check(run.recipe)
    match run.recipe.metrics:
        case "tensorboard":
            return TensorBoard(folder(home, run), about(run), METHODS[run.method].shows)
        case "trackio":
            return Trackio(home, run.id, f"{run.recipe.name} {run.id}", about(run))
    return None


def folder(home: Home, run: "Run") -> Path:
    """The folder of TensorBoard's files of a run."""
    return home.runs / run.id / "tensorboard"


def shown_by(home: Home, run: "Run") -> str:
    """The command that shows the copy of a run's curves; empty for none."""
    match run.recipe.metrics:
        case "tensorboard":
            return f"tensorboard --logdir {shlex.quote(str(folder(home, run)))}"
        case "trackio":
            return f"TRACKIO_DIR={shlex.quote(str(home.trackio))} trackio show --project {PROJECT}"
    return ""


def about(run: "Run") -> dict[str, str | int | float | bool]:
    """What the run is: where it began, what it reads, and each setting of its recipe; lists with commas."""
    settings = dataclasses.asdict(run.recipe).items()
    of_recipe = {key: ",".join(map(str, one)) if isinstance(one, tuple) else one for key, one in settings}
    return {"run": run.id, "source": run.source, "started_from": run.base_version_id, **of_recipe}


class TensorBoard:
    """One event file in a folder. Values have 32 bits there, about seven digits.

    Each step is on the disc before the next begins. Of tensorboardX only the file's format is used: its
    writer hands events to a thread, which a full disc ends, and the run would wait for it forever.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], shows: Sequence[str]) -> None:
        self.folder, self.about, self.shows = folder, about, shows
        self.file: Any = None

    def begin(self, points: Sequence[Recorded]) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import hparams, text

        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.iterdir():  # emptied, not deleted: a TensorBoard that reads it waits for it
            os.truncate(old, 0)
        self.file = EventsWriter(str(self.folder / "events"))
        # A TensorBoard that watches forgets what it has read of the file before.
        self.file.write_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        said = "\n".join(f"    {key}: {value}" for key, value in self.about.items())
        experiment, session, _ = hparams(dict(self.about), dict.fromkeys(self.shows, 0.0))
        for summary in (text("recipe", said), experiment, session):
            self.file.write_event(Event(summary=summary))
        self.add(points)

    def add(self, points: Sequence[Recorded]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for point in points:
            at = datetime.fromisoformat(point.created_at).timestamp()
            summary = scalar(point.name, point.value)
            self.file.write_event(Event(wall_time=at, step=point.step, summary=summary))
        self.file.flush()


class Trackio:
    """A run in the project of a home. trackio's own logger hands figures to a thread that drops those which
    it cannot write, and asks the Hub who is logged in; so they are put into its database directly.
    """

    def __init__(self, home: Home, run_id: str, name: str, about: Mapping[str, Any]) -> None:
        os.environ["TRACKIO_DIR"] = str(home.trackio)  # read once, when trackio is imported
        self.key, self.name, self.about = run_id, name, about

    def begin(self, points: Sequence[Recorded]) -> None:
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.delete_run(PROJECT, self.name, run_id=self.key)
        self._log(points, dict(self.about))

    def add(self, points: Sequence[Recorded]) -> None:
        self._log(points, None)

    def _log(self, points: Sequence[Recorded], config: dict[str, Any] | None) -> None:
        """A row for each step."""
        from trackio.sqlite_storage import SQLiteStorage

        rows = [list(found) for _, found in groupby(points, key=lambda point: point.step)]
        SQLiteStorage.bulk_log(
            PROJECT,
            self.name,
            metrics_list=[{point.name: point.value for point in row} for row in rows],
            steps=[row[0].step for row in rows],
            timestamps=[row[0].created_at for row in rows],
            config=config,
            run_id=self.key,
        )
