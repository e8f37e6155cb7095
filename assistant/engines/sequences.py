"""What an engine that computes many texts side by side keeps of each: a reply being written, or an answer
being scored. Knows tokens and logits; no model and no cache.
"""

import queue
import time
from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np

from assistant.engines.guesses import MOST_GUESSES, Guesses
from assistant.engines.interface import AnswerLogprob, Completion, Progress
from assistant.engines.kv_blocks import Held
from assistant.engines.reply import Reply
from assistant.engines.sampling import Floats, Sampler
from feedback.errors import HoneError


class Computed(Protocol):
    """One text in the batch. `tokens`: all that is to be computed; `held`: its place in the cache."""

    tokens: list[int]
    held: Held | None
    cacheable: tuple[int, ...]
    """The first tokens, which may be found in the cache."""
    longest: int
    """Tokens that it may grow to."""
    quiet_s: float
    """Its text need not be told more often than this. Whoever computes the batch sets it."""

    def begin(self, held: Held) -> None:
        """It has its place in the cache now; `held.found` tokens were found there. Called again when others
        have computed more of it since.
        """
        ...

    def over(self) -> bool: ...

    def guess(self, costs: Sequence[float]) -> list[int]:
        """Tokens that may follow `tokens`, to be checked in the same step, which costs `costs` with 0, 1, ...
        of them.
        """
        ...

    def wanted(self, start: int, end: int) -> range:
        """The places in `tokens` from `start` to `end` whose logits are wanted. `end` is not among them."""
        ...

    def take(self, logits: Floats, places: range, guessed: Sequence[int]) -> int:
        """Take the logits of `places` and of `guessed`; returns how many guesses were right."""
        ...

    def tell(self) -> None:
        """What it has written since goes to whoever reads it, if that is due."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """It is over, or cannot go on."""
        ...


class Writing:
    """A reply being written; `pieces` carries its text to whoever reads it, None or an error at the end."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.tokens = list(reply.prompt_ids)
        self.cacheable = tuple(self.tokens)
        self.longest = len(self.tokens) + reply.tokens_left
        self.held: Held | None = None
        self.pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        self.abandoned = False
        self.quiet_s = 0.0
        self._untold: list[str] = []
        self._told_at = 0.0
        self._error: HoneError | None = None
        self._guesses = Guesses()

    def begin(self, held: Held) -> None:
        self.held, self.reply.cached_tokens = held, held.found

    def over(self) -> bool:
        return self.abandoned or self._error is not None or self.reply.over()

    def guess(self, costs: Sequence[float]) -> list[int]:
        guessed = list(self.reply.forced[:MOST_GUESSES]) or self._guesses.after(self.tokens, costs)
        return guessed[: max(0, self.reply.tokens_left - 1)]

    def wanted(self, start: int, end: int) -> range:
        return range(end - 1, end) if end == len(self.tokens) else range(0)

    def take(self, logits: Floats, places: range, guessed: Sequence[int]) -> int:
        """Each token is drawn as without guesses: a guess that is not drawn ends the step, so that guessing
        changes the time and nothing else (but for rounding). What ends this reply alone with an error does
        not disturb the others of the batch.
        """
        right, certain = 0, bool(self.reply.forced)
        for row in logits:
            try:
                token = self.reply.take(row)
            except HoneError as error:
                self._error = error
                break
            if self.reply.piece:
                self._untold.append(self.reply.piece)
            if self.reply.over():
                break
            self.tokens.append(token)
            if right >= len(guessed) or guessed[right] != token:
                break
            right += 1
        self._guesses.judge(right, 0 if certain else len(guessed))
        return right

    def tell(self) -> None:
        if self._untold and time.monotonic() - self._told_at >= self.quiet_s:
            self._tell()

    def _tell(self) -> None:
        self.pieces.put("".join(self._untold))
        self._untold, self._told_at = [], time.monotonic()

    def finish(self, error: BaseException | None = None) -> None:
        error = error or self._error
        if error is None and not self.abandoned and (rest := self.reply.rest()):
            self._untold.append(rest)
        if self._untold:
            self._tell()
        self.pieces.put(error)

    def read(self) -> Generator[str, None, Completion]:
        """Its text as it is written; the generator's return value is the whole. Whoever closes the generator
        ends the reply. Raises what ended it.
        """
        try:
            while (piece := self.pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.abandoned = True
        return self.reply.completion()


def read_all(writings: Sequence[Writing], on_progress: Progress | None) -> list[Completion]:
    """Each whole, in the order given. When one fails the others are abandoned."""
    completions = []
    try:
        for writing in writings:
            completions.append(_whole(writing))
            if on_progress is not None:
                on_progress(len(completions), len(writings))
    finally:
        for writing in writings:
            writing.abandoned = True
    return completions


def _whole(writing: Writing) -> Completion:
    reading = writing.read()
    while True:
        try:
            next(reading)
        except StopIteration as end:
            completion: Completion = end.value
            return completion


class Drawing:
    """An answer in token ids: `answer`, with the end token that ended it, once it is over."""

    def __init__(self, prompt_ids: Sequence[int], sampler: Sampler, most: int, end_id: int) -> None:
        self.tokens = list(prompt_ids)
        self.cacheable = tuple(prompt_ids)
        self.longest = len(self.tokens) + most
        self.quiet_s = 0.0
        self.held: Held | None = None
        self.answer: list[int] = []
        self.error: BaseException | None = None
        self._sampler, self._most, self._end = sampler, most, end_id

    def begin(self, held: Held) -> None:
        self.held = held

    def over(self) -> bool:
        return len(self.answer) >= self._most or self.answer[-1:] == [self._end]

    def guess(self, costs: Sequence[float]) -> list[int]:
        return []

    def wanted(self, start: int, end: int) -> range:
        return range(end - 1, end) if end == len(self.tokens) else range(0)

    def take(self, logits: Floats, places: range, guessed: Sequence[int]) -> int:
        self.answer.append(self._sampler.choose(logits[0]))
        if not self.over():
            self.tokens.append(self.answer[-1])
        return 0

    def tell(self) -> None:
        return

    def finish(self, error: BaseException | None = None) -> None:
        self.error = error


class Scoring:
    """Answers whose probability is computed: to one prompt, and alike but for their last token, so that one
    pass tells all. `done` carries their results, in order, or an error.
    """

    def __init__(self, prompt_ids: Sequence[int], body_ids: Sequence[int], last_ids: Sequence[int]) -> None:
        self.tokens = [*prompt_ids, *body_ids]
        self.cacheable = tuple(prompt_ids)
        self.longest = len(self.tokens)
        self.quiet_s = 0.0
        self.held: Held | None = None
        self.done: queue.SimpleQueue[list[AnswerLogprob] | BaseException] = queue.SimpleQueue()
        self._first, self._last = len(prompt_ids), list(last_ids)
        self._nats = 0.0
        self._found: list[AnswerLogprob] = []

    def begin(self, held: Held) -> None:
        self.held = held

    def over(self) -> bool:
        return bool(self._found)

    def guess(self, costs: Sequence[float]) -> list[int]:
        return []

    def wanted(self, start: int, end: int) -> range:
        return range(max(start, self._first - 1), end)

    def take(self, logits: Floats, places: range, guessed: Sequence[int]) -> int:
        highest = logits.max(-1)
        logsums = highest + np.log(np.exp(logits - highest[:, None]).sum(-1))
        within = np.array(self.tokens[places.start + 1 : places.stop + 1], np.int64)
        rows = np.arange(len(within))
        self._nats += float((logits[rows, within] - logsums[rows]).sum(dtype=np.float64))
        if places.stop == len(self.tokens):
            count = len(self.tokens) - self._first + 1
            nats = [self._nats + float(logits[-1, one] - logsums[-1]) for one in self._last]
            self._found = [AnswerLogprob(one, count) for one in nats]
        return 0

    def tell(self) -> None:
        return

    def finish(self, error: BaseException | None = None) -> None:
        self.done.put(error or self._found)
