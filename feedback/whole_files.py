"""Files that are written whole or not at all, and lie on the disc when the call returns."""

import os
from pathlib import Path


def write_aside(path: Path, text: str) -> None:
    """Replace `path` by `text`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
