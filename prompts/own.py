"""Strategies that a person puts into a folder of the home: files alone, no Python. Knows no model."""

from pathlib import Path

from feedback.command_line import open_store
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.plain import AUTO, shipped
from prompts.strategy import load


def register_all(store: Store, folder: Path) -> None:
    """Make known what came with Hone, and what lies in `folder`. Raises HoneError as the two do."""
    library.register_shipped(store)
    register_own(store, folder)


def opened(home: Home) -> Store:
    """The store of a command, with all that is known in it even if no server has run yet."""
    store = open_store(home)
    register_all(store, home.prompts)
    return store


def register_own(store: Store, folder: Path) -> list[PromptVersion]:
    """Make the strategies in `folder` known, as `register_shipped` does those of Hone. No folder, no
    strategies.

    Raises HoneError, with nothing written, when one cannot be used or has the name of one of Hone's.
    """
    if not folder.is_dir():
        return []
    strategies = load(folder)
    if clash := sorted(set(strategies) & {AUTO, *shipped()}):
        raise HoneError(
            f"The strategy {clash[0]} in {folder} has the name of one that comes with Hone.",
            "One name would then mean two strategies.",
            "Give the file or folder another name.",
        )
    return library.register(store, strategies, "own")
