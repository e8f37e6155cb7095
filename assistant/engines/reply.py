"""One reply being written: its draws, its text, and whether and why it is over. Knows logits, no model."""

from array import array
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from assistant.engines.constraint import Constraint
from assistant.engines.detokenizer import Detokenizer
from assistant.engines.interface import (
    Answered,
    Completion,
    Finish,
    Request,
    TokenLogprob,
    UnableError,
)
from assistant.engines.sampling import Floats, Sampler, log_softmax
from assistant.engines.stop_texts import StopTexts
from assistant.plain_tokenizer import PlainTokenizer
from prompts.chat import ChatMessage, ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REMEMBERED, LONGEST_REMEMBERED = 1024, 8192
"""Parts of texts, of so many characters at most: the messages of all chats that are written at once."""


@dataclass(frozen=True)
class Vocabulary:
    """What an engine must know of a tokenizer.

    `ids` gives the token ids of a text, none added; `text` the text of ids, control tokens included.
    `control_ids` are never shown. `end_id` is what the chat template writes after a reply; every one of
    `end_ids` ends one. `definition` is the tokenizer itself as `tokenizer.json` holds it; UnableError where
    there is no such thing.
    """

    ids: Callable[[str], list[int]]
    text: Callable[[Sequence[int]], str]
    control_ids: frozenset[int]
    end_id: int
    end_ids: frozenset[int]
    definition: Callable[[], str]

    def pieces(self, text: str) -> list[str]:
        """See `Engine.tokens`."""
        detokenizer = Detokenizer(self.text, ())
        pieces = [detokenizer.push(token_id) for token_id in self.ids(text)]
        return [*pieces[:-1], pieces[-1] + detokenizer.rest()] if pieces else []

    def scored(self, one: Answered) -> tuple[list[int], list[int]]:
        """The ids of a prompt, and of the answer whose probability is asked for, its end token with them."""
        end = [self.end_id] if one.ended else []
        return self.ids(one.prompt), [*self.ids(one.answer), *end]


def vocabulary(
    tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate, listed_end_ids: list[int]
) -> Vocabulary:
    """`listed_end_ids`: what the model's own settings name."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def text(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def definition() -> str:
        if (inner := getattr(tokenizer, "backend_tokenizer", None)) is None:
            raise UnableError(
                "This model cannot be held to a JSON schema.",
                "Its tokenizer is a program of its own, whose tokens cannot be looked into.",
                "Ask without a schema.",
            )
        inner = copy(inner)
        inner.no_truncation()
        inner.no_padding()
        return str(inner.to_str())

    control_ids = frozenset(_ids_of(tokenizer, template.control_tokens))
    eos_id = int(tokenizer.eos_token_id)
    end_id, end_ids = _ends(ids, control_ids, eos_id, listed_end_ids, template)
    return Vocabulary(_remembered(ids, lambda text: [text]), text, control_ids, end_id, end_ids, definition)


def plain_vocabulary(plain: PlainTokenizer, listed_end_ids: list[int]) -> Vocabulary:
    """The same of a tokenizer that was read without transformers."""

    def text(ids: Sequence[int]) -> str:
        return str(plain.tokenizer.decode(list(ids), skip_special_tokens=False))

    known = [plain.tokenizer.token_to_id(token) for token in plain.template.control_tokens]
    control_ids = frozenset(token for token in known if token is not None)
    end_id, end_ids = _ends(plain.ids, control_ids, plain.eos_id, listed_end_ids, plain.template)
    ids = _remembered(plain.ids, plain.parts)
    return Vocabulary(ids, text, control_ids, end_id, end_ids, plain.tokenizer.to_str)


def _remembered(
    ids: Callable[[str], list[int]], parts: Callable[[str], list[str]]
) -> Callable[[str], list[int]]:
    """The same, lately asked parts at no cost: a prompt is counted before it is put to the model, and is the
    last turn's and some messages more. 1,500 tokens take 3 ms.
    """

    @lru_cache(maxsize=REMEMBERED)
    def kept(part: str) -> "array[int]":
        return array("i", ids(part))

    def found(text: str) -> list[int]:
        known = (kept(part) if len(part) <= LONGEST_REMEMBERED else ids(part) for part in parts(text))
        return list(chain.from_iterable(known))

    return found


def _ends(
    ids: Callable[[str], list[int]],
    control_ids: frozenset[int],
    eos_id: int,
    listed_end_ids: list[int],
    template: ChatTemplate,
) -> tuple[int, frozenset[int]]:
    """`end_id` and `end_ids` of a vocabulary."""
    mark = "ANSWER"
    turns = [ChatMessage("user", "question"), ChatMessage("assistant", mark)]
    after = template.text(turns, add_generation_prompt=False).rpartition(mark)[2]
    end_id = next((token for token in ids(after) if token in control_ids), eos_id)
    return end_id, frozenset([eos_id, end_id, *listed_end_ids])


class Reply:
    """Feed it logits until it is over. `most_tokens` is what is left of the window; `closed` whether the
    engine is; `constraint` what it is held to.
    """

    def __init__(
        self,
        request: Request,
        words: Vocabulary,
        most_tokens: int,
        closed: Callable[[], bool],
        constraint: Constraint | None = None,
    ) -> None:
        self.request, self._words, self._closed, self._constraint = request, words, closed, constraint
        self.prompt_ids = words.ids(request.prompt)
        self.piece = ""
        self.cached_tokens = 0
        self._sampler = Sampler(request.sampling)
        self._detokenizer = Detokenizer(words.text, words.control_ids)
        self._stop_texts = StopTexts(request.wanted.stop_texts)
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._tokens = 0
        self._most = min(request.sampling.max_tokens, most_tokens - len(self.prompt_ids))
        self._finish: Finish | None = None if self._most > 0 else "length"

    @property
    def forced(self) -> Sequence[int]:
        """The next tokens, where its constraint leaves no choice."""
        return () if self._constraint is None else self._constraint.forced

    @property
    def tokens_left(self) -> int:
        """How many tokens it may still write."""
        return self._most - self._tokens

    def take(self, logits: Floats) -> int:
        """Draw the next token from `logits`, shape (vocabulary,); `piece` is the text that it completes.

        HoneError where its constraint cannot be kept any further.
        """
        token_id = self._draw(logits)
        if token_id in self._words.end_ids:
            self._finish, self.piece = "stop", ""
            return token_id
        self._tokens += 1
        if self.request.wanted.top_logprobs is not None:
            self._logprobs.append(self._logprob(logits, token_id, self.request.wanted.top_logprobs))
        self._say(self._detokenizer.push(token_id))
        if self._constraint is not None:
            self._constraint.push(token_id)
        if self._stop_texts.found or (self._constraint is not None and self._constraint.complete):
            self._finish = "stop"
        elif self._tokens >= self._most:
            self._finish = "length"
        return token_id

    def over(self) -> bool:
        """Whether no more tokens are wanted: it ended, it is long enough, or somebody stopped it."""
        if self._finish is None and (self.request.stop.is_set() or self._closed()):
            self._finish = "stopped"
        return self._finish is not None

    def rest(self) -> str:
        """The text held back until it was clear that nothing follows."""
        if self._stop_texts.found:
            return ""
        self._say(self._detokenizer.rest())
        rest = self.piece + self._stop_texts.rest()
        self._pieces.append(rest[len(self.piece) :])
        return rest

    def completion(self) -> Completion:
        """The whole, once it is over."""
        self.rest()
        return Completion(
            "".join(self._pieces),
            self._tokens,
            self._finish or "stopped",
            self.cached_tokens,
            tuple(self._logprobs),
        )

    def _draw(self, logits: Floats) -> int:
        if self._constraint is None:
            return self._sampler.choose(logits)
        if self._constraint.forced:
            return self._constraint.forced[0]
        allowed = self._constraint.allowed(len(logits))
        return int(allowed[self._sampler.choose(logits[allowed])])

    def _say(self, text: str) -> None:
        self.piece = self._stop_texts.push(text)
        self._pieces.append(self.piece)

    def _logprob(self, logits: Floats, token_id: int, alternatives: int) -> TokenLogprob:
        nats = log_softmax(logits)
        best = np.argsort(-nats, kind="stable")[:alternatives]
        return TokenLogprob(
            self._words.text([token_id]),
            float(nats[token_id]),
            tuple((self._words.text([int(one)]), float(nats[one])) for one in best),
        )


def _ids_of(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[str]) -> list[int]:
    found = tokenizer.convert_tokens_to_ids(list(tokens))
    return found if isinstance(found, list) else [found]
