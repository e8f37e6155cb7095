"""The folder of a classifier: a head, what it needs of a trunk, a report, and `manifest.json`.

Knows files and hashes; no torch. The manifest is written last and the folder gets its name after that: a
folder without a manifest is no classifier.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assistant.checksums import sha256_of
from feedback import canonical
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import RunId
from feedback.whole_files import write_aside
from training.classify.wording import Wording

MANIFEST = "manifest.json"
HEAD, TRUNK, ADAPTER, REPORT = "head.safetensors", "trunk.safetensors", "adapter", "report.html"
ADAPTER_FILES = (f"{ADAPTER}/adapter_config.json", f"{ADAPTER}/adapter_model.safetensors")
LATEST = "latest"
LONGEST = 64
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


@dataclass(frozen=True)
class HeadInfo:
    """What the manifest says, apart from the files' hashes.

    `model` and `quantize` name the base as `hone serve` does, and `base_id` is what they were.
    `chat_template_sha256` decides how a chat wording is rendered. `base_adapter_sha256`: of the version that
    training started from; None for the base. `data` are hashes by part. `settings` is the recipe, `run_id`
    the run that made it; None: from before runs made classifiers. `metrics`: see `train.Figures`.
    """

    id: str
    name: str
    method: str
    model: str
    quantize: str
    base_id: str
    base_adapter_sha256: str | None
    chat_template_sha256: str
    labels: tuple[str, ...]
    wording: Wording
    max_length: int
    temperature: float
    data: Mapping[str, str]
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    created_at: str
    run_id: RunId | None = None


def folder_of_all(home: Home) -> Path:
    """Where classifiers lie, one folder each."""
    return home.classifiers


def check_name(home: Home, name: str) -> None:
    """HoneError for a name that is no name, or is taken."""
    if not NAME.fullmatch(name) or name == LATEST:
        raise HoneError(
            f"{name!r} is no name for a classifier.",
            f"A name has letters, digits, dots, dashes, underscores, {LONGEST} at most, and is not {LATEST}.",
            "Choose another with --name.",
        )
    if (folder_of_all(home) / name).exists():
        raise ConflictError(
            f"There is a classifier {name} already.",
            "Classifiers never change.",
            "Choose another name with --name.",
        )


def free_name(home: Home, wanted: str) -> str:
    """`wanted`, or `wanted-2` and so on."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._") or "classifier"
    name, number = base[:LONGEST], 1
    while (folder_of_all(home) / name).exists():
        number += 1
        end = f"-{number}"
        name = base[: LONGEST - len(end)] + end
    return name


def files_in(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path in the folder; the manifest is not among them."""
    found = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in found}


def finish(folder: Path, info: HeadInfo) -> None:
    """Write the manifest of a folder that has all its files: from now on it is a classifier."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
    write_aside(folder / MANIFEST, json.dumps({**asdict(info), "files": files_in(folder)}, indent=1))


def keep(home: Home, folder: Path, name: str) -> Path:
    """Give a finished folder its name in the home, whole or not at all. ConflictError where it is taken."""
    check_name(home, name)
    target = folder_of_all(home) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError as error:
        raise HoneError(
            f"The classifier {name} could not be kept.", f"{error}.", "Free some space and start it again."
        ) from error
    return target


def listing(home: Home) -> list[HeadInfo]:
    """All classifiers of a home, the oldest first. HoneError for a manifest that cannot be read."""
    found = [read(file.parent) for file in folder_of_all(home).glob(f"[!.]*/{MANIFEST}")]
    return sorted(found, key=lambda info: (info.created_at, info.name))


def readable(home: Home) -> list[HeadInfo]:
    """Those of `listing` whose manifests can be read, in no order: a damaged one hides no other."""
    found = []
    for file in folder_of_all(home).glob(f"[!.]*/{MANIFEST}"):
        with suppress(HoneError):
            found.append(read(file.parent))
    return found


def of_run(home: Home, run_id: RunId) -> HeadInfo | None:
    """What came out of a run, if anything did."""
    return next((info for info in readable(home) if info.run_id == run_id), None)


def weights(home: Home, info: HeadInfo) -> tuple[list[Path], str]:
    """The files of a classifier's numbers, and one hash of what they held when they were kept."""
    folder = folder_of_all(home) / info.name
    kept = {name: sha256 for name, sha256 in _kept(folder).items() if name.endswith(".safetensors")}
    return [folder / name for name in sorted(kept)], canonical.sha256_of(kept)


def find(home: Home, named: str) -> HeadInfo:
    """The classifier of this name or id; `latest` is the newest. NotFoundError."""
    if NAME.fullmatch(named) and ((folder := folder_of_all(home) / named) / MANIFEST).is_file():
        return read(folder)  # whatever state the others are in
    known = listing(home)
    if named == LATEST and known:
        return known[-1]
    for info in known:
        if named == info.id:
            return info
    raise NotFoundError(
        f"There is no classifier {named!r}.",
        f"There are {', '.join(info.name for info in known)}." if known else "There is none yet.",
        "Name one of them." if known else "Train one with `hone train classify --data FILE`.",
    )


def read(folder: Path) -> HeadInfo:
    """What the manifest in `folder` says. HoneError when it cannot be read."""
    try:
        told = json.loads((folder / MANIFEST).read_text("utf-8"))
        told.pop("files")
        return HeadInfo(**{**told, "labels": tuple(told["labels"]), "wording": Wording(**told["wording"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HoneError(
            f"The classifier in {folder} is damaged.",
            f"Its manifest cannot be read: {error}.",
            "Delete that folder, and train it again.",
        ) from error


def report(home: Home, info: HeadInfo) -> str:
    """The report of a classifier, as HTML. HoneError when it is not what was kept."""
    folder = folder_of_all(home) / info.name
    try:
        content = (folder / REPORT).read_bytes()
        if hashlib.sha256(content).hexdigest() != _kept(folder)[REPORT]:
            raise ValueError("it differs from what was kept")
        return content.decode()
    except (OSError, ValueError, KeyError) as error:
        raise HoneError(
            f"The report of the classifier {info.name} cannot be shown.", f"{error}.", "Restore its file."
        ) from error


def check_files(folder: Path) -> None:
    """HoneError when a file of a classifier is missing, new, or differs from what was kept."""
    kept, found = _kept(folder), files_in(folder)
    wrong = sorted(name for name in {*kept, *found} if kept.get(name) != found.get(name))
    if wrong:
        raise HoneError(
            f"The classifier {folder.name} is damaged.",
            f"Its file {wrong[0]} differs from what was kept, or is missing.",
            "Restore it, or train it again.",
        )


def _kept(folder: Path) -> dict[str, str]:
    """What the manifest says of each file: its SHA-256."""
    return dict(json.loads((folder / MANIFEST).read_text("utf-8"))["files"])


def discard(folder: Path) -> None:
    """Drop what an attempt left."""
    shutil.rmtree(folder, ignore_errors=True)
