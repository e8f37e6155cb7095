"""YAML files that people write, read strictly: what cannot be used is told in words, with its line."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from feedback.errors import HoneError
from prompts.frontmatter import FormatError, Section, mapping

T = TypeVar("T")


def read(file: Path, keys: tuple[str, ...], make: Callable[[Section], T], called: str, todo: str) -> T:
    """What `make` makes of the mapping in `file`, which may have these keys; it raises FormatError.

    HoneError for what cannot be used: `called` is the file in that sentence, `todo` where one learns more.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HoneError(f"{file} cannot be read.", f"The system says: {error}.", "Check the path.") from error
    try:
        return make(mapping(text, 1, keys))
    except FormatError as error:
        where = f"Line {error.line}: " if error.line else ""
        raise HoneError(f"{called} cannot be used.", f"{where}{error.reason}.", todo) from error
