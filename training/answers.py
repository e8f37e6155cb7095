"""What the API for operators answers with, as the types that its handlers return. Knows no route.

Dataclasses, for the reason that assistant/api/answers.py gives.
"""

from dataclasses import dataclass

from assistant.registry import ModelVersion, Promotion
from feedback.datasets import Dataset
from feedback.ids import RunId
from feedback.snapshots import Snapshot, SnapshotPairs
from training.classify.heads import HeadInfo
from training.gate import GateReport
from training.jobs import Job
from training.repeats import Repetition
from training.runs import MetricPoint, Run


@dataclass(frozen=True)
class ListedSnapshots:
    snapshots: list[Snapshot]


@dataclass(frozen=True)
class ReadSnapshot(SnapshotPairs):
    __doc__ = SnapshotPairs.__doc__

    snapshot: Snapshot


@dataclass(frozen=True)
class ListedDatasets:
    datasets: list[Dataset]


@dataclass(frozen=True)
class ListedRuns:
    runs: list[Run]


@dataclass(frozen=True)
class ReadRun:
    """`gate`: the newest report on the version that the run made; `classifier`: what it made instead of one;
    `repetition`: how it stands to the run that it repeats.
    """

    run: Run
    metrics: list[MetricPoint]
    gate: GateReport | None
    classifier: HeadInfo | None
    repetition: Repetition | None


@dataclass(frozen=True)
class RunLog:
    run_id: RunId
    log: str


@dataclass(frozen=True)
class LatestJob:
    """`job`: null since the server's start."""

    job: Job | None


@dataclass(frozen=True)
class ReadGate:
    """`candidate`: its name."""

    candidate: str
    report: GateReport


@dataclass(frozen=True)
class ListedModels:
    """`champion`: its name."""

    champion: str
    versions: list[ModelVersion]
    promotions: list[Promotion]


@dataclass(frozen=True)
class RolledBack:
    """The names of the champion now and of the one before."""

    champion: str
    before: str


@dataclass(frozen=True)
class Promoted(RolledBack):
    """`override`: the typed reason, where the gate had not passed it."""

    override: str | None


@dataclass(frozen=True)
class ListedClassifiers:
    classifiers: list[HeadInfo]
