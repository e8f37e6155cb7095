"""The engine that asks servers of the model: vLLM, llama.cpp, or any that speaks OpenAI's completions.

Knows no store, turn or page. The base's tokenizer and chat template are Hone's own, the weights are the
servers'. Prompts go rendered, as ids where the server takes ids, so that none is put into a template twice.
A reply is tried again elsewhere only until its first token: after that, what was written stands.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from assistant import base as bases
from assistant.base import Base
from assistant.engines.interface import (
    Ability,
    Answered,
    AnswerLogprob,
    Completion,
    Progress,
    Request,
    UnableError,
    Wanted,
    check_able,
    check_fits,
)
from assistant.engines.remote_dialects import Chunk, Prompt
from assistant.engines.remote_errors import CutError, ServerError
from assistant.engines.remote_http import Patience
from assistant.engines.remote_probe import Local
from assistant.engines.remote_reply import RemoteReply
from assistant.engines.replicas import Lease, Replicas
from assistant.engines.reply import vocabulary
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
MOST_THREADS = 64

S = TypeVar("S")
T = TypeVar("T")


class RemoteEngine:
    """One or many servers of one base, answering as it or through its adapters. Safe to call from many
    threads. HoneError at the start: no server answers, or one serves another model.
    """

    def __init__(self, base: Base, home: Home, urls: Sequence[str], patience: Patience | None = None) -> None:
        self._local = local(base)
        self.template, self._words = self._local.template, self._local.words
        self._patience = patience or Patience()
        self._replicas = Replicas(urls, self._local, home, self._patience)

    @property
    def name(self) -> str:
        return "remote " + "+".join(sorted({one.dialect.kind for one in self._replicas.seen()}))

    @property
    def window(self) -> int:
        """The smallest of any server's: a reply may go to each."""
        return min(one.window for one in self._replicas.seen())

    @property
    def capacity(self) -> int:
        return sum(one.slots for one in self._replicas.seen())

    @property
    def abilities(self) -> frozenset[Ability]:
        """What every server can do."""
        return frozenset.intersection(*(one.abilities for one in self._replicas.seen()))

    def check(self, wanted: Wanted) -> None:
        """See `Engine.check`. A schema is the servers' to judge."""
        check_able(self, wanted)

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, none added."""
        return len(self._words.ids(text))

    def tokens(self, text: str) -> list[str]:
        """See `Engine.tokens`."""
        return self._words.pieces(text)

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """See `Engine.stream`. A seed is the server's to honour: the same text on the same server, as far as
        its arithmetic does not depend on what it computes beside.
        """
        check_able(self, request.wanted)
        prompt = Prompt(request.prompt, tuple(self._words.ids(request.prompt)))
        check_fits(self.window, prompt.ids, len(prompt.ids) + 1)
        most = min(request.sampling.max_tokens, self.window - len(prompt.ids))
        asked = replace(request, sampling=replace(request.sampling, max_tokens=most))
        reply = RemoteReply(asked, self._words, self.template.control_tokens)
        chunks = self._chunks(asked, prompt)
        try:
            for chunk in chunks:
                if piece := reply.take(chunk):
                    yield piece
                if reply.finish is not None and chunk.finish is None:
                    break  # a stop text: the server would go on
        except CutError:
            reply.finish = "stopped"
        finally:
            chunks.close()
        if rest := reply.rest():
            yield rest
        return reply.completion()

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        """See `Engine.batch`. As many at once as the servers write side by side."""
        return self._side_by_side(self._whole, requests, on_progress)

    def logprobs(
        self,
        answers: Sequence[Answered],
        version: ModelVersion,
        on_progress: Progress | None = None,
    ) -> list[AnswerLogprob]:
        """See `Engine.logprobs`. UnableError when a server has no way to tell."""
        rows = [self._words.scored(one) for one in answers]
        for prompt, answer in rows:
            check_fits(self.window, prompt, len(prompt) + len(answer))
        unable = [one.dialect.kind for one in self._replicas.seen() if not one.scores]
        if unable:
            raise UnableError(
                "This server cannot say how probable an answer is.",
                f"{', '.join(sorted(set(unable)))} has no way to ask for it, or it is switched off.",
                "Evaluate candidates with `hone evaluate`, which loads the model here, or use vLLM.",
            )
        return self._side_by_side(lambda row: self._logprob(*row, version), rows, on_progress)

    def load(self, version: ModelVersion) -> None:
        """See `Engine.load`. The version is kept on every server until another one is loaded; those that are
        away get it when they return.
        """
        self._replicas.load(version)

    def warm_up(self, version: ModelVersion) -> None:
        """See `Engine.warm_up`. The first request of an adapter moves it to the device."""
        ids = (self._words.end_id,)
        prompt = Prompt(self._words.text(ids), ids)
        for _ in self._chunks(Request(prompt.text, Sampling(0.0, 1.0, 1), version), prompt):
            pass

    def close(self) -> None:
        """Running replies end as stopped."""
        self._replicas.close()

    def _whole(self, request: Request) -> Completion:
        stream = self.stream(request)
        while True:
            try:
                next(stream)
            except StopIteration as end:
                return end.value

    def _side_by_side(
        self, work: Callable[[S], T], items: Sequence[S], on_progress: Progress | None
    ) -> list[T]:
        workers = max(1, min(len(items), self.capacity, MOST_THREADS))
        found: list[T] = []
        pool = ThreadPoolExecutor(workers, thread_name_prefix="hone-remote")
        try:
            for one in pool.map(work, items):
                found.append(one)
                if on_progress is not None:
                    on_progress(len(found), len(items))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return found

    def _logprob(self, prompt: Sequence[int], answer: Sequence[int], version: ModelVersion) -> AnswerLogprob:
        if not answer:
            return AnswerLogprob(0.0, 0)

        def score(lease: Lease) -> Iterator[list[float] | None]:
            dialect, line = lease.served.dialect, lease.replica.line
            bodies = dialect.score_bodies(lease.model, prompt, answer)
            replies = [line.post(dialect.path, body, self._is_closed) for body in bodies or ()]
            yield dialect.scores(replies, answer)

        [scores] = self._ask(version, self._is_closed, score)
        if scores is None:
            raise UnableError(
                "This server does not say how probable each token of an answer is.",
                "llama.cpp is silent about tokens that end inside a character.",
                "Evaluate candidates with `hone evaluate`, which loads the model here, or use vLLM.",
            )
        return AnswerLogprob(sum(scores), len(scores))

    def _chunks(self, request: Request, prompt: Prompt) -> Generator[Chunk, None, None]:
        """What a server writes. CutError when the request is stopped, or the engine closed."""

        def gone() -> bool:
            return request.stop.is_set() or self._replicas.closed

        def write(lease: Lease) -> Iterator[Chunk]:
            return _written(lease, request, self._for(lease, prompt), gone)

        return self._ask(request.version, gone, write)

    def _ask(
        self, version: ModelVersion, gone: Callable[[], bool], work: Callable[[Lease], Iterator[T]]
    ) -> Generator[T, None, None]:
        """Do `work` at one server after another until one begins to answer; then stay with that one."""
        until, pause_s = time.monotonic() + self._patience.retry_s, FIRST_PAUSE_S
        tried: set[str] = set()
        trouble: HoneError | None = None
        while not gone():
            begun = False
            try:
                with self._replicas.lease(version, tried, gone) as lease:
                    if lease is not None:
                        for one in work(lease):
                            begun = True
                            yield one
                        return
            except ServerError as error:
                if begun:
                    raise _broken_off(error) from error
                trouble = error
                continue
            if not gone() and time.monotonic() >= until:
                raise trouble or self._replicas.nobody()
            tried.clear()
            self._replicas.pause(pause_s, gone)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        raise CutError("The request was stopped.")

    def _for(self, lease: Lease, prompt: Prompt) -> Prompt:
        """The prompt as this server must get it."""
        if not lease.served.drops_bos:
            return prompt
        return Prompt(prompt.text.removeprefix(self._local.bos), prompt.ids)

    def _is_closed(self) -> bool:
        return self._replicas.closed


def local(base: Base) -> Local:
    """What a server of `base` is compared with; loads the tokenizer. HoneError when it cannot."""
    tokenizer, template = bases.load_tokenizer(base), bases.chat_template(base)
    window, end_ids = bases.limits(base)
    words = vocabulary(tokenizer, template, end_ids)
    added = list(tokenizer("a")["input_ids"])[: -len(words.ids("a"))]
    return Local(base, template, words, window, words.text(added) if added else "")


def _written(
    lease: Lease, request: Request, prompt: Prompt, gone: Callable[[], bool]
) -> Generator[Chunk, None, None]:
    """The chunks of one reply, the empty ones before its first token left out."""
    dialect, line = lease.served.dialect, lease.replica.line
    body = dialect.body(lease.model, prompt, request.sampling, request.wanted)
    begun = finished = False
    events = line.events(dialect.path, body, gone, lambda: finished)
    try:
        for event in events:
            chunk = dialect.chunk(event)
            finished = finished or chunk.finish is not None
            begun = begun or finished or bool(chunk.text or chunk.ids)
            if gone():  # what lies in buffers already is not shown any more
                raise CutError("The request was stopped.")
            if begun:
                yield chunk
    except ServerError:
        if not finished:  # else only the count of tokens is missing
            raise
    finally:
        events.close()
    if not finished:
        raise ServerError(
            "The server ended the reply in the middle.", "It never said that the reply was complete."
        )


def _broken_off(error: ServerError) -> HoneError:
    why = f"{error.what} {error.why}".strip()
    return HoneError("The reply broke off.", why, "What was written is kept. Ask again.")
