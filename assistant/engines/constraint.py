"""Holds a reply to a JSON schema: which tokens may come next, and when the value is complete. Knows token ids
and one vocabulary; no model, no logits and no request.

A schema becomes a grammar over the bytes of a vocabulary's tokens (by llguidance; the idea is that of Willard
and Louf 2023, https://arxiv.org/abs/2307.09702). The library is imported when the first schema comes.
"""

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistant.engines.interface import SchemaError, UnableError
from feedback.errors import HoneError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

    from assistant.engines.reply import Vocabulary

OPTIONS: "JsonCompileOptions" = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}
"""JSON on one line, as Python writes it. Free whitespace is where a small model loops for ever; the single
spaces stay because models have seen far more JSON with them than without. A keyword that is not understood is
refused. These override what a schema says under `x-guidance`.
"""
MOST_CHOICES = 1000
"""Keys that may be left out, and alternatives, in all of a schema. Each makes every token a little slower to
work out, for whoever else is answered too: with so many, the first one of an object takes about 15 ms.
"""
ROW_ITEMS, STEP_ITEMS = 20_000, 500_000
"""What a grammar may hold at one place, and work through for one token. A key that may be left out takes four
items of its object's place: with MOST_CHOICES, a reply that has begun never comes to an end here.
"""
KEPT_SCHEMAS = 32
"""Programs send the same schema again and again: the latest are kept compiled."""


@dataclass(frozen=True)
class _Tokens:
    """A vocabulary as grammars need it. `ends` end a reply; `control` stand in no text, `ends` among them."""

    tokenizer: "LLTokenizer"
    ends: list[int]
    control: list[int]


class Constraint:
    """One reply's way through its schema. Not thread-safe: one thread at a time."""

    def __init__(self, matcher: "LLMatcher", tokens: _Tokens) -> None:
        self._matcher, self._tokens = matcher, tokens
        self.forced = self._follows()
        """The tokens that come next whatever the model thinks, such as a key and its quotes; perhaps none."""

    @property
    def complete(self) -> bool:
        """Whether nothing can be added to the value."""
        return bool(self._matcher.is_stopped())

    def allowed(self, size: int) -> NDArray[np.intp]:
        """Ids below `size` that may come next, ascending: never a control token, and an end token exactly
        where the value may end. HoneError when there is none, or when that is too much to work out.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        may = np.unpackbits(bits, bitorder="little").view(bool)
        may[self._tokens.control] = False
        may[self._tokens.ends] = self._matcher.is_accepting()
        ids = np.flatnonzero(may[:size])
        if not len(ids):
            raise _stuck("No token of the model fits here")
        return ids

    def push(self, token_id: int) -> None:
        """The token that came: one of those allowed, no end token. HoneError as for `allowed`."""
        self._matcher.consume_token(token_id)
        self._check()
        self.forced = self.forced[1:] or self._follows()

    def _follows(self) -> tuple[int, ...]:
        if self._matcher.is_stopped():
            return ()
        control = self._tokens.control
        return tuple(takewhile(lambda one: one not in control, self._matcher.compute_ff_tokens()))

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _stuck(_reason(self._matcher.get_error()))


class Grammars:
    """The schemas asked of one vocabulary, compiled. Safe to call from many threads."""

    def __init__(self, words: "Vocabulary") -> None:
        self._words = words
        self._lock = threading.Lock()
        self._tokens: _Tokens | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()  # the least recently used first

    def constraint(self, schema: str) -> Constraint:
        """A way through `schema`, from its beginning. SchemaError when no reply can be held to it.

        The first takes about a third of a second, for the vocabulary; later ones a few milliseconds.
        """
        with self._lock:
            kept = self._compiled.get(schema)
            tokens = self._tokens = self._tokens or _tokens(self._words)
        compiled = kept or _compile(tokens, schema)
        with self._lock:
            self._compiled[schema] = compiled
            self._compiled.move_to_end(schema)
            if len(self._compiled) > KEPT_SCHEMAS:
                self._compiled.popitem(last=False)
            return Constraint(compiled.deep_copy(), tokens)


def _tokens(words: "Vocabulary") -> _Tokens:
    from llguidance import LLTokenizer

    try:
        tokenizer = LLTokenizer(words.definition(), eos_token=words.end_id)
    except ValueError as error:
        raise UnableError(
            "This model cannot be held to a JSON schema.",
            f"Its tokenizer is of another kind: {_reason(str(error))}.",
            "Ask without a schema.",
        ) from error
    # A model's settings may name an end token that its tokenizer does not have.
    ends = [one for one in words.end_ids if one < tokenizer.vocab_size]
    return _Tokens(tokenizer, ends, sorted({*ends, *words.control_ids}))


def _compile(tokens: _Tokens, schema: str) -> "LLMatcher":
    from llguidance import LLMatcher, LLParserLimits

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=OPTIONS)
    except ValueError as error:
        raise _refused(str(error)) from error
    if (choices := _choices(json.loads(schema))) > MOST_CHOICES:
        raise _refused(
            f"It leaves {choices:,} choices, of keys and alternatives; {MOST_CHOICES:,} are allowed"
        )
    limits = LLParserLimits(max_items_in_row=ROW_ITEMS, step_max_items=STEP_ITEMS)
    matcher = LLMatcher(tokens.tokenizer, grammar, log_level=0, limits=limits)
    if matcher.is_error():
        raise _refused(matcher.get_error())
    matcher.compute_bitmask()  # so that the first token of a reply does not wait for it
    if matcher.is_error():
        nothing = matcher.get_error().startswith("NoExtension")
        raise _refused("No value fits it" if nothing else matcher.get_error())
    return matcher


def _choices(schema: Any) -> int:
    """How many keys may be left out, and how many alternatives there are, in all of a schema."""
    found, unread = 0, [schema]
    while unread:
        part = unread.pop()
        if isinstance(part, list):
            unread += part
        elif isinstance(part, dict):
            properties, required = part.get("properties"), part.get("required")
            if isinstance(properties, dict):
                needed = required if isinstance(required, list) else []
                found += len(properties) - sum(isinstance(key, str) and key in properties for key in needed)
            found += sum(len(part[kind]) for kind in ("anyOf", "oneOf") if isinstance(part.get(kind), list))
            unread += part.values()
    return found


def _refused(why: str) -> SchemaError:
    return SchemaError(
        "No reply can be held to this JSON schema.", f"{_reason(why)}.", "Change or simplify the schema."
    )


def _stuck(why: str) -> HoneError:
    return HoneError(
        "The reply could not be held to its JSON schema to the end.", f"{why}.", "Simplify the schema."
    )


def _reason(text: str) -> str:
    """The line that gives the reason, else the first that says something; without a full stop. Of a pattern
    the first shows the place, and a later one says what is wrong with it.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason was given"]
    reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if reasons and lines[0] == "regex parse error:":
        return f"The pattern {lines[1]} cannot be read: {reasons[0]}"[:300].rstrip(" .")
    return lines[0].strip(" .")[:300]
