"""A prompt that a model or a person wrote, as the source of a strategy. Its text stays text. Pure."""

import re
from collections.abc import Mapping

import yaml

from feedback.errors import HoneError
from prompts.strategy import parse

TITLE_CHARS = 60
WRITES_PROMPTS = "prompt"
"""The name of a chain's step whose text is a prompt: the chat offers to keep it."""

_JINJA = re.compile(r"\{(?=[{%#\r])|\r|[\ud800-\udfff]")
"""What may not stand in a template as it is: what opens a tag, also before what is
replaced by one, and a return, which Jinja makes a newline."""


def strategy_source(name: str, written: str, title: str = "") -> Mapping[str, str]:
    """The files of a strategy `name` that puts `written` after each question, as meta prompting does.

    The result can be loaded whatever was written, and renders it letter by letter (without the space at its
    ends; half a character becomes U+FFFD). `title`: what the picker shows; "": the first words of `written`.
    Raises HoneError for an empty text, or one that is longer than a template may be.
    """
    text = written.strip()
    if not text:
        raise HoneError("This prompt is empty.", todo="Write it first.")
    shown = _plain(title) or _plain(text) or name
    front = {
        "title": shown if len(shown) <= TITLE_CHARS else shown[: TITLE_CHARS - 3].rstrip() + "...",
        "description": "A prompt that was written for one task, and kept.",
        "variables": ["history", "question"],
    }
    body = (
        "{% history %}\n"
        '{% message "user" %}\n'
        f"{{{{ question }}}}\n\n{_quoted(text)}\n"
        "{% endmessage %}\n"
    )
    source = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{body}"
    files = {f"{name}.jinja": source}
    parse(name, files)
    return files


def _plain(text: str) -> str:
    """One line of printable characters, for a title."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _quoted(text: str) -> str:
    """`text` as a template's own text that renders as `text`."""

    def as_value(found: re.Match[str]) -> str:
        if found.group() == "{":
            return '{{ "{" }}'
        return '{{ "\\r" }}' if found.group() == "\r" else "\ufffd"

    return _JINJA.sub(as_value, text)
