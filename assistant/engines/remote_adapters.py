"""Adapters on one server of a model: loaded and unloaded while it runs, by vLLM's routes.

Knows no pool. A server is told a folder, not sent a file: it must see the home's disc under the same path.
"""

import logging
from pathlib import Path

from assistant.adapters import stored
from assistant.engines.remote_errors import BusyError, RefusedError, ServerError
from assistant.engines.remote_http import Line
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home

log = logging.getLogger(__name__)


def load(line: Line, home: Home, version: ModelVersion) -> None:
    """Have the server answer as `version`, under its id, from now on. ServerError when it is away or busy,
    HoneError when it cannot: it does not see the folder, or the adapter's rank is too high.
    """
    path = str((home.path / str(version.adapter_dir)).resolve())
    _check_family(version, Path(path))
    try:
        line.post("/v1/load_lora_adapter", {"lora_name": version.id, "lora_path": path})
    except RefusedError as error:
        if "already" not in error.why:  # versions never change: what has the name has the content
            raise _not_loaded(line, version, path, error.why) from error
    except BusyError:
        raise
    except ServerError as error:
        if error.code < 500:
            raise
        raise _not_loaded(line, version, path, error.why) from error


def _check_family(version: ModelVersion, folder: Path) -> None:
    """HoneError for what vLLM knows no adapter of: it would be told in its log, or not at all."""
    try:
        family = stored.read(folder).family
    except (OSError, ValueError) as error:
        raise HoneError(f"The files of {version.name} cannot be read.", f"{error}") from error
    if family not in ("lora", "rslora"):
        raise HoneError(
            f"{version.name} cannot answer on a remote server.",
            f"It was adapted by {family}, and servers load plain LoRA while they run.",
            "Choose another --engine, or `hone models merge` it and serve that folder.",
        )


def unload(line: Line, version: ModelVersion) -> None:
    """Free its place there."""
    try:
        line.post("/v1/unload_lora_adapter", {"lora_name": version.id})
    except RefusedError:  # it is gone already
        log.info("%s no longer had %s", line.url, version.name)


def _not_loaded(line: Line, version: ModelVersion, path: str, why: str) -> HoneError:
    return HoneError(
        f"The adapter of {version.name} was not loaded by {line.url}.",
        f"{why} ",
        f"That server must see the folder {path}, and allow the adapter's rank.",
    )
