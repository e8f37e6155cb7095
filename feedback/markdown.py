"""Markdown to safe HTML: the one place where a person's or a model's text becomes HTML, for all pages.

Raw HTML in the text is shown, never obeyed; pictures are not fetched; links go to http, https and mailto only
and open apart from the page. Knows nothing of messages, pages or the store.
"""

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

SAFE_SCHEMES = ("http://", "https://", "mailto:")


@cache
def parser() -> MarkdownIt:
    """The one parser and renderer that is safe; for this module and for `growing_markdown`."""
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable("table")
    # An image in a reply would make the reader's browser call another machine: it is shown as a link instead.
    made.disable("image")
    made.validateLink = _is_safe_link  # type: ignore[method-assign]
    made.add_render_rule("link_open", _link_open)
    made.add_render_rule("table_open", _table_open)
    made.add_render_rule("table_close", _table_close)
    made.add_render_rule("fence", _code_block)
    made.add_render_rule("code_block", _code_block)
    return made


def _is_safe_link(url: str) -> bool:
    return url.strip().lower().startswith(SAFE_SCHEMES)


def _link_open(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    href = escape(str(tokens[index].attrs.get("href", "")), quote=True)
    return f'<a href="{href}" target="_blank" rel="noopener noreferrer nofollow">'


def _table_open(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="md-table"><table>\n'


def _table_close(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _code_block(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = escape(token.info.split()[0], quote=True) if token.info.split() else ""
    named = f' data-language="{language}"' if language else ""
    return f"<pre{named}><code>{escape(token.content)}</code></pre>\n"


def to_html(text: str) -> str:
    """`text` (CommonMark with tables; a single newline breaks the line) as HTML safe to put into a page."""
    return str(parser().render(text))
