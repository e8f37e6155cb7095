"""One reply's voice: puts rendered prompts to the engine as the reply's settings say, for prompts.run.

Knows the engine and what was decided for the reply; no queue and no store.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from assistant.engines.interface import Completion, Engine, Request, Wanted
from assistant.live import LiveReply
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.ids import MessageId, UserId
from prompts.chat import ChatTemplate
from prompts.library import PromptVersion


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
        self._steps_left = len(job.prompt.strategy.steps)
        self.prompt_text = ""
        self.completion: Completion | None = None

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

    def generate(self, prompt_text: str, max_tokens: int) -> Iterator[str]:
        """Pieces of what the model writes; `max_tokens` is this step's limit."""
        self.prompt_text, self.completion = prompt_text, None
        self._steps_left -= 1
        sampling = replace(self._job.sampling, max_tokens=max_tokens)
        wanted = Wanted() if self._steps_left else self._job.wanted
        request = Request(prompt_text, sampling, self._job.model, self._job.live.stop, wanted)
        self.completion = yield from self._engine.stream(request)
