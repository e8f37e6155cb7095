"""Pieces of HTML that pages are put together from. Every text is escaped here, so callers pass plain text.

A `Markup` is text that has been made safe already. Knows no store and no dataclass of ours.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal, NewType

SHEET = Path(__file__).parent / "static" / "parts.css"

Markup = NewType("Markup", str)
Cell = str | Markup
Tone = Literal["good", "bad", "unsure", "busy", "plain"]


def text(value: object) -> Markup:
    """Plain text, made safe."""
    return Markup(escape(str(value)))


def join(*parts: str) -> Markup:
    """Markup after markup."""
    return Markup("".join(parts))


def tag(name: str, body: str, kind: str = "") -> Markup:
    """An element around markup; `kind` is its class."""
    return Markup(f'<{name} class="{kind}">{body}</{name}>' if kind else f"<{name}>{body}</{name}>")


def badge(words: str, tone: Tone, testid: str = "") -> Markup:
    """A short word in colour."""
    mark = f' data-testid="{testid}"' if testid else ""
    return Markup(f'<span class="hone-badge {tone}"{mark}>{escape(words)}</span>')


def tiles(*pairs: tuple[str, object, str]) -> Markup:
    """Numbers that matter: (label, number, a word more)."""
    body = "".join(
        f'<div class="hone-tile"><b>{escape(str(number))}</b><span>{escape(label)}</span>'
        f"<small>{escape(more)}</small></div>"
        for label, number, more in pairs
    )
    return Markup(f'<div class="hone-tiles">{body}</div>')


def table(head: Sequence[str], rows: Sequence[Sequence[str]], testid: str = "") -> Markup:
    """Rows of markup under plain headings. The first cell of a row names it."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return Markup(
        f'<div class="hone-scroll"><table class="hone-table" data-testid="{testid}">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def empty(title: str, todo: str, *commands: str) -> Markup:
    """Nothing here yet, and what to do about it; `commands`: what to type where it is no matter of a page."""
    typed = "".join(f"<p>{code(command)}</p>" for command in commands)
    return Markup(f'<div class="hone-empty"><b>{escape(title)}</b><p>{escape(todo)}</p>{typed}</div>')


def note(words: str, tone: Tone = "plain") -> Markup:
    """A sentence on its own; nothing for no words."""
    return Markup(f'<p class="hone-note {tone}">{escape(words)}</p>' if words else "")


def bar(done: float, total: float, words: str, tone: Tone = "busy") -> Markup:
    """A progress bar with words under it. total 0: nobody knows how long it takes."""
    share = min(100.0, 100 * done / total) if total else 0.0
    kind = tone if total else f"{tone} endless"
    return Markup(
        f'<div class="hone-bar {kind}" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
        f'<p class="hone-note">{escape(words)}</p>'
    )


def code(value: str) -> Markup:
    """An id or a name that can be typed."""
    return tag("code", escape(value))


def when(at: str | None) -> Markup:
    """A time of the store, to the minute; exact on hover."""
    if not at:
        return text("-")
    return Markup(
        f'<time datetime="{escape(at)}" title="{escape(at)}">{escape(at[:16].replace("T", " "))} UTC</time>'
    )


def plural(count: int, one: str, many: str = "") -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def style(*sheets: Path) -> Markup:
    """The style of these pieces and of the `sheets` after it, to stand in a page once."""
    texts = [sheet.read_text(encoding="utf-8") for sheet in (SHEET, *sheets)]
    return tag("style", "".join(texts))
