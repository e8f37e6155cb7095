"""The engine that works everywhere: transformers on torch, adapters by PEFT. Knows no store, turn or page.

Replies asked at the same time share forward passes (`torch_lane.py`), base, champion and candidate too where
their adapters can be mixed (`mixing.py`); others take turns on the model's one thread, a token each. So a
long batch of drawing or evaluation slows a chat down but does not block it, and a stop is seen at the next
token.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from functools import partial

from assistant import base as bases
from assistant.base import Base
from assistant.engines.constraint import Constraint, Grammars
from assistant.engines.decode import Decoding, Forward, answer_logprobs, prefixed_logprobs
from assistant.engines.interface import (
    Ability,
    Answered,
    AnswerLogprob,
    Completion,
    Progress,
    Request,
    Wanted,
    check_able,
    check_fits,
)
from assistant.engines.reply import Reply, vocabulary
from assistant.engines.sequences import Writing, read_all
from assistant.engines.served_model import ServedModel
from assistant.engines.torch_lane import Lane
from assistant.registry import ModelVersion
from feedback.home import Home

CAPACITY = {"cpu": 16, "cuda": 32}
"""Replies side by side. A step for 16 takes 2.3 times as long as for one on 2 cores; a GPU, not measured
here, has more arithmetic to spare.
"""
LOGPROB_TOKENS = {"cpu": 512, "cuda": 4096}
"""Tokens in one forward pass of `logprobs`, padding included; replies go on between passes. On a CPU larger
passes are no faster.
"""
LOGPROB_ANSWER_TOKENS = 1024
"""Of these, answer tokens: each needs a whole vocabulary of logits at once."""


class TorchEngine:
    """A base on its device, answering as itself or through any adapter. Safe to call from many threads."""

    name = "transformers"
    abilities: frozenset[Ability] = frozenset(("token_logprobs", "json_schema"))

    def __init__(self, base: Base, home: Home) -> None:
        tokenizer = bases.load_tokenizer(base)
        model = bases.load_model(base)
        self.template = bases.chat_template(base)
        self.window, ends = bases.limits(base)
        self.capacity = CAPACITY[base.device]
        self._words = vocabulary(tokenizer, self.template, ends)
        self._device = base.device
        self._grammars = Grammars(self._words)
        self._served = ServedModel(model, base.id, home)
        self._lane = Lane(self._served)

    def check(self, wanted: Wanted) -> None:
        """See `Engine.check`."""
        self._constraint(wanted)

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, none added."""
        return len(self._words.ids(text))

    def tokens(self, text: str) -> list[str]:
        """See `Engine.tokens`."""
        return self._words.pieces(text)

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """See `Engine.stream`. Whatever else is computed in the same passes may change the rounding, and so
        now and then a token, of a reply with the same seed; alone, a seed fixes the text on one machine and
        torch version.
        """
        writing = self._writing(request)
        with self._served.held(request.version):
            self._served.start(partial(self._lane.add, writing))
            return (yield from writing.read())

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        """See `Engine.batch`. Each reply draws from its own seed, whatever shares its passes."""
        writings = [self._writing(request) for request in requests]
        # Similar lengths side by side, so that little is padded.
        order = sorted(range(len(writings)), key=lambda number: len(writings[number].tokens))
        with ExitStack() as held:
            for version in {request.version.id: request.version for request in requests}.values():
                held.enter_context(self._served.held(version))
            asked = [writings[number] for number in order]
            self._served.start(partial(self._lane.add_batch, asked))
            found = dict(zip(order, read_all(asked, on_progress), strict=True))
        return [found[number] for number in range(len(requests))]

    def logprobs(
        self,
        answers: Sequence[Answered],
        version: ModelVersion,
        on_progress: Progress | None = None,
    ) -> list[AnswerLogprob]:
        """See `Engine.logprobs`. An answer is tokenised apart from its prompt, as when it was written."""
        rows = [self._words.scored(one) for one in answers]
        window = self._window(version)
        for prompt, answer in rows:
            check_fits(window, prompt, len(prompt) + len(answer) - 1)
        totals: dict[int, float] = {}
        with self._served.held(version):
            for chunk in _logprob_chunks(rows, LOGPROB_TOKENS[self._device]):
                wanted = [rows[index] for index in chunk]
                found = self._served.run(version, partial(self._scores, version, wanted))
                totals.update(zip(chunk, found, strict=True))
                if on_progress is not None:
                    on_progress(len(totals), len(rows))
        return [AnswerLogprob(totals[index], len(answer)) for index, (_, answer) in enumerate(rows)]

    def load(self, version: ModelVersion) -> None:
        """See `Engine.load`. Not a duty: whatever names a version loads it."""
        self._served.load(version)

    def warm_up(self, version: ModelVersion) -> None:
        """See `Engine.warm_up`. A token is read, so that lazily imported kernels are there."""
        self._served.run(version, Decoding(self._served.model, [[self._words.end_id]]).read)

    def close(self) -> None:
        """Running replies end as stopped; then the model is freed."""
        self._served.close()

    def _scores(
        self, version: ModelVersion, rows: Sequence[tuple[list[int], list[int]]], forward: Forward
    ) -> list[float]:
        prefix = self._served.prefix(version)
        if prefix is None:
            return answer_logprobs(self._served.model, rows, forward)
        return prefixed_logprobs(self._served.model, rows, prefix, forward)

    def _window(self, version: ModelVersion) -> int:
        """Tokens that prompt and reply may have: a soft prompt takes its own."""
        return self.window - self._served.virtual_tokens(version)

    def _writing(self, request: Request) -> Writing:
        constraint = self._constraint(request.wanted)
        window = self._window(request.version)
        reply = Reply(request, self._words, window, lambda: self._served.closed, constraint)
        check_fits(window, reply.prompt_ids, len(reply.prompt_ids) + 1)
        return Writing(reply)

    def _constraint(self, wanted: Wanted) -> Constraint | None:
        check_able(self, wanted)
        return None if wanted.json_schema is None else self._grammars.constraint(wanted.json_schema)


def _logprob_chunks(rows: Sequence[tuple[Sequence[int], Sequence[int]]], most_tokens: int) -> list[list[int]]:
    """Indices of rows, by length, so that a chunk stays within the two bounds on its padded size."""
    chunks: list[list[int]] = []
    longest = answer_longest = 0
    for index in sorted(range(len(rows)), key=lambda i: (len(rows[i][0]) + len(rows[i][1]), len(rows[i][1]))):
        length, answer = len(rows[index][0]) + len(rows[index][1]), len(rows[index][1])
        longest, answer_longest = max(longest, length), max(answer_longest, answer)
        count = len(chunks[-1]) + 1 if chunks else 1
        if chunks and count * longest <= most_tokens and count * answer_longest <= LOGPROB_ANSWER_TOKENS:
            chunks[-1].append(index)
        else:
            chunks.append([index])
            longest, answer_longest = length, answer
    return chunks
