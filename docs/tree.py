"""Writes the tree of modules into docs/architecture.md, one line a file, from the files' own first sentences.

`python docs/tree.py` rewrites it; with `--check` it only says by its exit code whether it is true.
"""

import ast
import sys
from pathlib import Path

from generated import between, first_sentence, keep

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ("feedback", "prompts", "assistant", "training")
BEGIN, END = "<!-- tree: written by docs/tree.py -->", "<!-- end of tree -->"


def job(file: Path) -> str:
    """What the file says it is for."""
    return first_sentence(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")


def tree() -> str:
    """A table a room: file, job."""
    lines: list[str] = []
    for room in ROOMS:
        lines += [f"### {room}/", job(ROOT / room / "__init__.py"), ""]
        lines += ["| file | job |", "|---|---|"]
        for file in sorted((ROOT / room).rglob("*.py")):
            if file != ROOT / room / "__init__.py":
                lines.append(f"| `{file.relative_to(ROOT / room).as_posix()}` | {job(file)} |")
        lines.append("")
    return "\n".join([*lines, f"`app.py`: {job(ROOT / 'app.py')}"])


if __name__ == "__main__":
    sys.exit(keep(PAGE, between(PAGE, BEGIN, END, tree())))
