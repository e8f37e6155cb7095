"""Tokens to text while they arrive: no half characters, no control tokens. Knows no model."""

from collections.abc import Callable, Collection, Sequence

UNFINISHED = "\ufffd"
LONGEST_CHARACTER_TOKENS = 6
"""A character of four bytes may take four tokens. What is still unreadable after six is not a character at
all.
"""


class Detokenizer:
    """Feed it token ids, take text. The pieces joined are the whole reply.

    Tokens are decoded together with those before them, since some tokenizers write a word's leading space
    only in context; what ends in an unfinished character is held back until the rest of it comes.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], hidden_ids: Collection[int]) -> None:
        self._decode = decode
        self._hidden_ids = hidden_ids
        self._ids: list[int] = []
        self._context = 0  # from here on is decoded
        self._said = 0  # up to here was given out

    def push(self, token_id: int) -> str:
        """The text that this token completes, perhaps none."""
        if token_id in self._hidden_ids:
            return ""
        self._ids.append(token_id)
        text = self._unsaid()
        held = len(self._ids) - self._said
        if not text or (text.endswith(UNFINISHED) and held < LONGEST_CHARACTER_TOKENS):
            return ""
        self._context, self._said = self._said, len(self._ids)
        return text

    def rest(self) -> str:
        """What was held back, when no more tokens come: without the half character at its end."""
        text = self._unsaid().rstrip(UNFINISHED)
        self._said = len(self._ids)
        return text

    def _unsaid(self) -> str:
        before = self._decode(self._ids[self._context : self._said])
        return self._decode(self._ids[self._context :])[len(before) :]
