"""Strategies that a person puts into a folder of the home: files alone, no Python. Knows no model."""

from pathlib import Path

from feedback.command_line import open_store
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import SYSTEM_USER
from feedback.store import Store
from prompts import labels, library, trials
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
    strategies. One whose file is gone goes out of service, with a trial of it; its versions stay.

    Raises HoneError, with nothing written, when one cannot be used, or has a name that none may have.
    """
    strategies = load(folder) if folder.is_dir() else {}
    if clash := sorted(set(strategies) & {AUTO, *shipped()}):
        raise HoneError(
            f"The strategy {clash[0]} in {folder} has the name of one that comes with Hone.",
            "One name would then mean two strategies.",
            "Give the file or folder another name.",
        )
    for name in strategies:
        library.check_name(name)
    with store.transaction():
        for name in labels.followers(store):
            if name not in strategies:
                trials.stop_if_running(store, SYSTEM_USER, name)
                labels.leave_with_file(store, name)
        return library.register(store, strategies, "own")
