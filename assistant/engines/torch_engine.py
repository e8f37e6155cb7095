"""The engine that works everywhere: transformers on torch, adapters by PEFT. Knows no store, turn or page.

Replies written at the same time take turns token by token on the model's one thread, so a long batch of
drawing or evaluation slows a chat down but does not block it, and a stop is seen at the next token.
"""

from collections.abc import Generator, Sequence
from functools import partial

import torch

from assistant import base as bases
from assistant.base import Base
from assistant.engines.constraint import Constraint, Grammars
from assistant.engines.decode import Decoding, answer_logprobs
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
from assistant.engines.served_model import ServedModel
from assistant.registry import ModelVersion
from feedback.home import Home

BATCH_ROWS = 32
LOGPROB_TOKENS = 4096
"""Tokens in one forward pass of `logprobs`, padding included."""
LOGPROB_ANSWER_TOKENS = 1024
"""Of these, answer tokens: each needs a whole vocabulary of logits at once."""


class TorchEngine:
    """A base on its device, answering as itself or through any adapter. Safe to call from many threads."""

    name = "transformers"
    capacity = 4
    """Streams take turns on one thread, token by token: more of them only make each slower."""
    abilities: frozenset[Ability] = frozenset(("token_logprobs", "json_schema"))

    def __init__(self, base: Base, home: Home) -> None:
        tokenizer = bases.load_tokenizer(base)
        model = bases.load_model(base)
        self.template = bases.chat_template(base)
        self.window, ends = bases.limits(base)
        self._words = vocabulary(tokenizer, self.template, ends)
        self._grammars = Grammars(self._words)
        self._served = ServedModel(model, base.id, home)

    def check(self, wanted: Wanted) -> None:
        """See `Engine.check`."""
        self._constraint(wanted)

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, none added."""
        return len(self._words.ids(text))

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """See `Engine.stream`. A seed fixes the text on one machine and torch version; `batch` pads its
        prompts, so its rounding, and now and then a token, may differ from a stream's with the same seed.
        """
        version, reply = request.version, self._reply(request)
        with self._served.held(version):
            decoding = Decoding(self._served.model, [reply.prompt_ids])
            logits: torch.Tensor | None = None
            while decoding.reading and not reply.over():
                logits = self._served.run(version, decoding.read)
            while logits is not None and not reply.over():
                token = reply.take(logits[0].numpy())
                if reply.piece:
                    yield reply.piece
                if not reply.over():
                    logits = self._served.run(version, partial(decoding.step, [token]))
            if rest := reply.rest():
                yield rest
        return reply.completion()

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        """See `Engine.batch`. Each reply draws from its own seed, whatever shares its batch."""
        replies = [self._reply(request) for request in requests]
        done = 0
        for chunk in _chunks(replies):
            with self._served.held(chunk[0].request.version):
                for finished in self._write(chunk):
                    done += finished
                    if on_progress is not None:
                        on_progress(done, len(replies))
        return [reply.completion() for reply in replies]

    def logprobs(
        self,
        answers: Sequence[Answered],
        version: ModelVersion,
        on_progress: Progress | None = None,
    ) -> list[AnswerLogprob]:
        """See `Engine.logprobs`. An answer is tokenised apart from its prompt, as when it was written."""
        rows = [self._words.scored(one) for one in answers]
        for prompt, answer in rows:
            check_fits(self.window, prompt, len(prompt) + len(answer) - 1)
        totals: dict[int, float] = {}
        with self._served.held(version):
            for chunk in _logprob_chunks(rows):
                wanted = [rows[index] for index in chunk]
                found = self._served.run(version, partial(answer_logprobs, self._served.model, wanted))
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

    def _reply(self, request: Request) -> Reply:
        constraint = self._constraint(request.wanted)
        reply = Reply(request, self._words, self.window, lambda: self._served.closed, constraint)
        check_fits(self.window, reply.prompt_ids, len(reply.prompt_ids) + 1)
        return reply

    def _constraint(self, wanted: Wanted) -> Constraint | None:
        check_able(self, wanted)
        return None if wanted.json_schema is None else self._grammars.constraint(wanted.json_schema)

    def _write(self, chunk: Sequence[Reply]) -> Generator[int, None, None]:
        """Write the replies of a chunk side by side; yields how many have just come to their end."""
        served, version = self._served, chunk[0].request.version
        decoding = Decoding(served.model, [reply.prompt_ids for reply in chunk])
        rows = list(chunk)
        open_rows = len(rows)
        logits: torch.Tensor | None = None
        while decoding.reading and any(not reply.over() for reply in rows):
            logits = served.run(version, decoding.read)
        while logits is not None:
            # A row whose reply is over is fed its end token and ignored.
            tokens = [
                self._words.end_id if reply.over() else reply.take(scores)
                for reply, scores in zip(rows, logits.numpy(), strict=True)
            ]
            alive = [row for row, reply in enumerate(rows) if not reply.over()]
            if len(alive) < open_rows:
                yield open_rows - len(alive)
                open_rows = len(alive)
            if not alive:
                return
            # Copying the cache costs about a step, so rows leave when a quarter of the batch is idle.
            if len(alive) <= len(rows) * 3 // 4:
                rows, tokens = [rows[row] for row in alive], [tokens[row] for row in alive]
                served.run(version, partial(decoding.keep, alive))
            logits = served.run(version, partial(decoding.step, tokens))
        yield open_rows


def _chunks(replies: Sequence[Reply]) -> list[list[Reply]]:
    """Replies of one version and similar prompt length together, so that little is padded."""
    chunks: list[list[Reply]] = []
    for reply in sorted(replies, key=lambda reply: (reply.request.version.id, len(reply.prompt_ids))):
        same = chunks and chunks[-1][0].request.version.id == reply.request.version.id
        if same and len(chunks[-1]) < BATCH_ROWS:
            chunks[-1].append(reply)
        else:
            chunks.append([reply])
    return chunks


def _logprob_chunks(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[list[int]]:
    """Indices of rows, by length, so that a chunk stays within the two bounds on its padded size."""
    chunks: list[list[int]] = []
    longest = answer_longest = 0
    for index in sorted(range(len(rows)), key=lambda i: (len(rows[i][0]) + len(rows[i][1]), len(rows[i][1]))):
        length, answer = len(rows[index][0]) + len(rows[index][1]), len(rows[index][1])
        longest, answer_longest = max(longest, length), max(answer_longest, answer)
        count = len(chunks[-1]) + 1 if chunks else 1
        if chunks and count * longest <= LOGPROB_TOKENS and count * answer_longest <= LOGPROB_ANSWER_TOKENS:
            chunks[-1].append(index)
        else:
            chunks.append([index])
            longest, answer_longest = length, answer
    return chunks
