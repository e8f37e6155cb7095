"""Strategies that a person puts into a folder of the home: files alone, no Python. Knows no model."""

from pathlib import Path

from feedback.errors import HoneError
from feedback.store import Store
from prompts.library import PromptVersion, register_shipped
from prompts.plain import shipped
from prompts.strategy import load


def register_own(store: Store, folder: Path) -> list[PromptVersion]:
    """Make the strategies in `folder` known, as `register_shipped` does those of Hone. No folder, no
    strategies.

    Raises HoneError, with nothing written, when one cannot be used or has the name of one of Hone's.
    """
    if not folder.is_dir():
        return []
    if clash := sorted(set(load(folder)) & set(shipped())):
        raise HoneError(
            f"The strategy {clash[0]} in {folder} has the name of one that comes with Hone.",
            "One name would then mean two strategies.",
            "Give the file or folder another name.",
        )
    return register_shipped(store, folder)
