"""Strategies by the name that a person gives: a file, a version's id, or what chats use under that name.

Knows the library and files; no model.
"""

from pathlib import Path

from feedback.errors import HoneError
from feedback.ids import PromptVersionId
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.strategy import CHAIN_FILE, parse


def version(store: Store, named: str) -> PromptVersion:
    """`pv_...`: that version. A path to a `.jinja` file or to a chain's folder: the strategy in it, which the
    store need not know. Else the production version of that name. HoneError for what there is not.
    """
    path = Path(named).expanduser()
    if named.startswith("pv_"):
        return library.get(store, PromptVersionId(named))
    if path.suffix == ".jinja" or "/" in named or "\\" in named:
        return _from_file(path)
    return library.production(store, named)


def _from_file(path: Path) -> PromptVersion:
    try:
        if path.is_dir() and (path / CHAIN_FILE).exists():
            parts = sorted(part for part in path.iterdir() if part.is_file())
        else:
            parts = [path]
        files = {part.name: part.read_text("utf-8") for part in parts}
    except (OSError, UnicodeDecodeError) as error:
        raise HoneError(
            f"There is no strategy in {path}.",
            f"The system says: {error}.",
            f"Name a .jinja file, a folder with a {CHAIN_FILE}, or a strategy by its name.",
        ) from error
    strategy = parse(path.name.removesuffix(".jinja"), files)
    return PromptVersion(PromptVersionId(f"pv_{strategy.sha256[:12]}"), strategy.name, strategy)


def parted(written: str) -> tuple[str, str]:
    """`NAME:key=value,...` as name and settings. A colon with neither = nor `calibrate` after it belongs to
    the name, as in a path.
    """
    name, colon, settings = written.rpartition(":")
    return (name, settings) if colon and ("=" in settings or settings == "calibrate") else (written, "")
