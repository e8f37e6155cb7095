"""The folder of a model version: PEFT's two files and `manifest.json`. Knows files and hashes; no table.

The manifest is written last and the folder gets its name after that: a folder without a manifest is no
version.
"""

import json
import os
import shutil
from pathlib import Path

from assistant.checksums import sha256_of
from feedback.errors import HoneError
from feedback.whole_files import write_aside

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What is kept of a trained adapter. TRL may also leave a reference adapter and optimiser states there."""
WEIGHTS = "adapter_model.safetensors"
MANIFEST = "manifest.json"


def keep(adapter_folder: Path, folder: Path, about: dict[str, str | None]) -> str:
    """Copy an adapter to `folder`, whole or not at all; returns the SHA-256 of its weights.

    `about` (base_id, chat_template_sha256, run_id, ...) goes into the manifest beside the hashes. Raises
    HoneError when there is no adapter, or no space.
    """
    missing = [file for file in ADAPTER_FILES if not (adapter_folder / file).is_file()]
    if missing:
        raise HoneError(
            f"The folder {adapter_folder} holds no adapter.",
            f"{missing[0]} is missing.",
            "Give the folder that the run wrote.",
        )
    aside = folder.with_name(f".{folder.name}")
    try:
        aside.mkdir(parents=True)
        hashes = {file: _copy(adapter_folder / file, aside / file) for file in ADAPTER_FILES}
        write_aside(aside / MANIFEST, json.dumps({**about, "files": hashes}, indent=1))
        aside.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise HoneError(
            "The adapter could not be kept.", f"{error}.", "Free some space and resume the run."
        ) from error
    return hashes[WEIGHTS]


def damage(folder: Path, base_id: str, adapter_sha256: str | None) -> str | None:
    """What is wrong with a version's folder, as a sentence; None when it is whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        found = {file: sha256_of(folder / file) for file in ADAPTER_FILES}
        if manifest["files"] == found and found[WEIGHTS] == adapter_sha256 and manifest["base_id"] == base_id:
            return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"Its files cannot be read: {error}."
    return "Its files differ from those that were kept."


def _copy(source: Path, target: Path) -> str:
    """Copy one file to the disc itself, not only to its cache; returns its SHA-256."""
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    return sha256_of(target)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, before the store names the folder. Windows needs and knows no
    such call.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
