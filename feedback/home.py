"""The home folder: where a person's data live. Knows names of places, opens nothing."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """One folder with everything Hone keeps. Nothing mutable lies anywhere else."""

    path: Path

    @property
    def store_file(self) -> Path:
        return self.path / "hone.db"

    @property
    def server_file(self) -> Path:
        """Says which process serves this home, and where; there only while one does."""
        return self.path / "server.json"

    @property
    def bases(self) -> Path:
        """Base weights made ready for loading, one folder a base; safe to delete."""
        return self.path / "bases"

    @property
    def served(self) -> Path:
        """Weights as an engine computes with them, one file a version; safe to delete."""
        return self.path / "served"

    @property
    def references(self) -> Path:
        """What champions say of the answers that runs start from, in numbers; safe to delete."""
        return self.path / "references.db"

    @property
    def trackio(self) -> Path:
        """The figures of the runs whose recipe says `metrics: trackio`, in trackio's database."""
        return self.path / "trackio"

    @property
    def models(self) -> Path:
        """One folder a model version: adapter and manifest."""
        return self.path / "models"

    @property
    def datasets(self) -> Path:
        """One file a dataset, named by its hash."""
        return self.path / "datasets"

    @property
    def heads(self) -> Path:
        """One folder a head, such as a reward model: adapter and manifest."""
        return self.path / "heads"

    @property
    def classifiers(self) -> Path:
        """One folder a classifier, by its name."""
        return self.path / "classifiers"

    @property
    def prompts(self) -> Path:
        """Strategies that people added, as files; read at each start."""
        return self.path / "prompts"

    @property
    def runs(self) -> Path:
        """One folder a run: log, checkpoints, and its figures for TensorBoard where it was asked for them."""
        return self.path / "runs"


def find(chosen: str | None = None) -> Home:
    """`--home`, else HONE_HOME, else the per-user default of this system."""
    if chosen or os.environ.get("HONE_HOME"):
        return Home(Path(chosen or os.environ["HONE_HOME"]).expanduser().resolve())
    if sys.platform == "win32":
        return Home(Path(os.environ.get("LOCALAPPDATA", Path.home())) / "Hone")
    if sys.platform == "darwin":
        return Home(Path.home() / "Library" / "Application Support" / "Hone")
    return Home(Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "hone")
