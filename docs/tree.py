"""Writes the tree of modules into docs/architecture.md, one line a file, from the files' own first sentences.

`python docs/tree.py` rewrites it; with `--check` it only says by its exit code whether it is true.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ("feedback", "prompts", "assistant", "training")
BEGIN, END = "<!-- tree: written by docs/tree.py -->", "<!-- end of tree -->"


def first_sentence(file: Path) -> str:
    """What the file says it is for, up to the first full stop that ends a sentence."""
    told = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=\.)\s(?=[A-Z`])", told, maxsplit=1)[0]


def tree() -> str:
    """A table a room: file, job."""
    lines: list[str] = []
    for room in ROOMS:
        lines += [f"### {room}/", first_sentence(ROOT / room / "__init__.py"), ""]
        lines += ["| file | job |", "|---|---|"]
        for file in sorted((ROOT / room).rglob("*.py")):
            if file != ROOT / room / "__init__.py":
                lines.append(f"| `{file.relative_to(ROOT / room).as_posix()}` | {first_sentence(file)} |")
        lines.append("")
    return "\n".join([*lines, f"`app.py`: {first_sentence(ROOT / 'app.py')}"])


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    true = f"{before}{BEGIN}\n{tree()}\n{END}{rest.split(END)[1]}"
    if "--check" in sys.argv:
        return int(page != true)
    PAGE.write_text(true, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
