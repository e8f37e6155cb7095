"""Markdown that grows at its end, as HTML block by block: what is finished is rendered once.

The HTML is exactly that of `markdown.to_html` for the whole text. Knows no reply and no page.

A line decides about itself and the block it stands in, never about a block that another one follows. So of
the complete lines every block but the last is finished. Two things reach further: a line that is still being
written ("#" may become "#tag"), which is why only complete lines finish a block; and a link's definition,
which may stand anywhere (`[name]: address`): a text that has one is rendered whole each time, as it was
before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it.token import Token

from feedback.markdown import parser

LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Change:
    """Blocks of HTML, one element each, that stand in place of all blocks from number `start` on."""

    start: int
    blocks: tuple[str, ...]


class GrowingMarkdown:
    """One text that grows. `update` says what changed on a page that was told every change before."""

    def __init__(self) -> None:
        self._text = ""
        self._done_end = 0  # where in the text the finished blocks end
        self._shown: list[str] = []
        self._done = 0  # how many of the shown blocks are finished
        self._defines_links = False

    def update(self, text: str) -> Change:
        """`text` is the whole text now. Any text will do; only one that begins as the last did is cheap."""
        if text == self._text:
            return Change(len(self._shown), ())
        if not text.startswith(self._text):
            self._done_end = self._done = 0
            self._defines_links = False
        self._text = text
        env: dict[str, Any] = {}
        fresh = blocks_of(text[self._done_end :], env)
        if env.get("references") and not self._defines_links:
            self._defines_links = True
            self._done_end = self._done = 0
            fresh = blocks_of(text, {})
        change = self._replace(fresh)
        if not self._defines_links:
            self._finish_blocks()
        return change

    def _replace(self, fresh: Sequence[str]) -> Change:
        """Put `fresh` after the finished blocks; what was shown there already need not be said again."""
        start = self._done
        for shown, new in zip(self._shown[self._done :], fresh, strict=False):
            if shown != new:
                break
            start += 1
        said = tuple(fresh[start - self._done :])
        self._shown[self._done :] = fresh
        return Change(start, said)

    def _finish_blocks(self) -> None:
        end = self._text.rfind("\n") + 1
        if end <= self._done_end:
            return
        lines = self._text[self._done_end : end]
        tokens = parser().parse(lines, {})
        starts = [begin for begin, _ in _spans(tokens)]
        if len(starts) < 2:
            return
        line = (tokens[starts[-1]].map or [0])[0]
        offsets = [0, *(found.end() for found in LINE_END.finditer(lines))]
        self._done_end += offsets[line]
        self._done += len(starts) - 1


def blocks_of(text: str, env: dict[str, Any]) -> list[str]:
    """The HTML of each top-level block; joined, `to_html(text)`. `env` takes the links' definitions."""
    tokens = parser().parse(text, env)
    markdown = parser()
    return [
        str(markdown.renderer.render(tokens[begin:end], markdown.options, env))
        for begin, end in _spans(tokens)
    ]


def _spans(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Where each top-level block begins and ends."""
    spans, depth, begin = [], 0, 0
    for index, token in enumerate(tokens):
        depth += token.nesting
        if depth == 0:
            spans.append((begin, index + 1))
            begin = index + 1
    return spans
