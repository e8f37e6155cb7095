"""What the scripts that write parts of the docs share: a page is rewritten, or with `--check` compared."""

import re
import sys
from pathlib import Path


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, on one line."""
    return re.split(r"(?<=\.)\s(?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0]


def between(page: Path, begin: str, end: str, text: str) -> str:
    """What `page` is when `text` stands between its two marks."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def keep(page: Path, true: str) -> int:
    """Write `page`; with `--check` only say, by the exit code, whether it is true already."""
    if "--check" in sys.argv:
        return int(page.read_text(encoding="utf-8") != true)
    page.write_text(true, encoding="utf-8")
    return 0
