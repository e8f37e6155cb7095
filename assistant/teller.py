"""One reply's voice: puts rendered prompts to the engine as the reply's settings say, for prompts.run.

Knows the engine and what was decided for the reply; no queue and no store.
"""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

from assistant.engines.interface import Completion, Engine, Request, Wanted
from assistant.live import LiveReply
from assistant.registry import ModelVersion
from feedback.conversations import SEEDS, Sampling
from feedback.ids import MessageId, UserId
from prompts.chat import ChatTemplate
from prompts.library import PromptVersion
from prompts.teller import Ask


@dataclass(frozen=True)
class Job:
    """A reply that is to be written, with everything decided. It waits without its conversation, which does
    not change meanwhile: a long line of long conversations must not fill the memory.
    """

    live: LiveReply
    user_id: UserId
    parent_id: MessageId
    model: ModelVersion
    prompt: PromptVersion
    sampling: Sampling
    system_text: str
    wanted: Wanted


class Teller:
    """Puts rendered prompts to the engine for one reply; remembers the last one and what came of it."""

    def __init__(self, engine: Engine, job: Job) -> None:
        self._engine, self._job = engine, job
        self._completions: dict[int, Completion] = {}  # of the answer, by draw
        self.prompt_text = ""

    @property
    def completion(self) -> Completion | None:
        """What the engine said of the answer, of the draw that became it; None while it is not whole."""
        return self._completions.get(self._job.live.state.made.chosen)

    @property
    def ended(self) -> bool:
        """Whether the model itself ended the reply. With stop texts nobody can tell, so it teaches no end."""
        done = self.completion
        return done is not None and done.finish == "stop" and not self._job.wanted.stop_texts

    @property
    def template(self) -> ChatTemplate:
        return self._engine.template

    @property
    def window(self) -> int:
        return self._engine.window

    @property
    def max_tokens(self) -> int:
        return self._job.sampling.max_tokens

    @property
    def system_text(self) -> str:
        return self._job.system_text

    @property
    def stopped(self) -> bool:
        return self._job.live.stop.is_set()

    def count_tokens(self, text: str) -> int:
        return self._engine.count_tokens(text)

    def generate(self, ask: Ask) -> Iterator[str]:
        """Pieces of what the model writes."""
        self.prompt_text = ask.prompt_text
        yield from self._stream(ask)

    def sample(self, asks: Sequence[Ask]) -> Iterator[tuple[int, str | None]]:
        """Pieces of all texts as they come, and None at the end of each.

        All but the first are asked once the first has begun: then what they have in common has been read, and
        an engine that finds it again reads it once.
        """
        self.prompt_text = asks[0].prompt_text
        told: SimpleQueue[tuple[int, str | None] | Exception] = SimpleQueue()
        over = threading.Event()

        def write(which: int) -> None:
            pieces = self._stream(asks[which])
            try:
                for piece in pieces:
                    told.put((which, piece))
                    if over.is_set():
                        break
                told.put((which, None))
            except Exception as error:  # noqa: BLE001 - raised again where the samples are read
                told.put(error)
            finally:
                pieces.close()

        writers = [threading.Thread(target=write, args=(which,), daemon=True) for which in range(len(asks))]
        writers[0].start()
        begun, whole = 1, 0
        try:
            while whole < len(asks):
                event = told.get()
                if isinstance(event, Exception):
                    raise event
                for writer in writers[begun:]:
                    writer.start()
                begun = len(writers)
                whole += event[1] is None
                yield event
        finally:
            over.set()
            for writer in writers[:begun]:
                writer.join()

    def _stream(self, ask: Ask) -> Generator[str, None, None]:
        job = self._job
        sampling = replace(job.sampling, max_tokens=ask.max_tokens)
        if ask.temperature is not None:
            sampling = replace(sampling, temperature=ask.temperature)
        if ask.draw and sampling.seed is not None:
            sampling = replace(sampling, seed=(sampling.seed + ask.draw) % SEEDS)
        wanted = job.wanted if ask.final else Wanted()
        request = Request(ask.prompt_text, sampling, job.model, job.live.stop, wanted)
        completion = yield from self._engine.stream(request)
        if ask.final:
            self._completions[ask.draw] = completion
