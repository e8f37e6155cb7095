"""Strategies by the name that a person gives: a file, a version's id, or what chats use under that name.

Knows the library and files; no model.
"""

from pathlib import Path

from feedback.errors import HoneError
from feedback.store import Store
from prompts import files, library
from prompts.library import PromptVersion
from prompts.strategy import parse


def version(store: Store, named: str) -> PromptVersion:
    """A path to a `.jinja` file or to a chain's folder: the strategy in it, which the store need not know.
    Else what `library.find` finds. HoneError for what there is not.
    """
    path = Path(named).expanduser()
    if path.suffix == files.SUFFIX or "/" in named or "\\" in named:
        return _from_file(path)
    return library.find(store, named)


def _from_file(path: Path) -> PromptVersion:
    found = files.read(path)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise HoneError(
            f"There are {len(found)} strategies in {path}.", f"They are {names}.", "Name one of them."
        )
    return library.version_of(parse(found[0].name, found[0].files))


def parted(written: str) -> tuple[str, str]:
    """`NAME:key=value,...` as name and settings. A colon with neither = nor `calibrate` after it belongs to
    the name, as in a path.
    """
    name, colon, settings = written.rpartition(":")
    return (name, settings) if colon and ("=" in settings or settings == "calibrate") else (written, "")
