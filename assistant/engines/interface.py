"""What an engine is: prompt text in, reply text out. Knows no model library, no store and no chat.

Every text that Hone reads from a model comes through `Engine`; every implementation passes the same tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # the registry and the store's rows are only named here, never opened
    from assistant.registry import ModelVersion
    from feedback.conversations import Sampling
    from prompts.chat import ChatTemplate

Finish = Literal["stop", "length", "stopped"]
"""stop: the model ended its reply; length: max_tokens or the window ended it; stopped: a person did."""

Progress = Callable[[int, int], None]
"""Called as (done, total)."""


@dataclass(frozen=True)
class Request:
    """One reply wanted. `prompt` is the exact text for the model, rendered; no token is added to it."""

    prompt: str
    sampling: Sampling
    version: ModelVersion
    stop: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass(frozen=True)
class Completion:
    """One whole reply. `tokens` counts what the model wrote, its end token left out."""

    text: str
    tokens: int
    finish: Finish


@dataclass(frozen=True)
class Answered:
    """An answer whose probability is wanted. `ended`: its end token counts too; False: it was cut off."""

    prompt: str
    answer: str
    ended: bool = True


@dataclass(frozen=True)
class AnswerLogprob:
    """log p(answer | prompt), summed over `tokens` tokens, in nats; its end token is one, if it ended."""

    total_nats: float
    tokens: int


class Engine(Protocol):
    """A loaded base that answers as any of its model versions. Safe to call from many threads."""

    @property
    def name(self) -> str:
        """What replies record as their engine, for example `transformers`."""
        ...

    @property
    def window(self) -> int:
        """Tokens that prompt and reply may have together."""
        ...

    @property
    def template(self) -> ChatTemplate:
        """The chat template of the base, for the one renderer."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, control tokens counted as one each, none added."""
        ...

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """The reply piece by piece, as text that is safe to show; the generator's return value is the whole.

        Ends within one token of `request.stop` being set, or of the generator being closed. The same request
        with the same seed gives the same text, whatever ran before. Raises HoneError when the prompt fills
        the window.
        """
        ...

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        """Many replies, in the order asked. Model versions may be mixed."""
        ...

    def logprobs(
        self,
        answers: Sequence[Answered],
        version: ModelVersion,
        on_progress: Progress | None = None,
    ) -> list[AnswerLogprob]:
        """How probable `version` finds each of `answers`, in the order asked."""
        ...

    def load(self, version: ModelVersion) -> None:
        """Make `version` ready to answer. HoneError when its files are damaged or do not fit the base."""
        ...

    def close(self) -> None:
        """Free the model. Running streams end."""
        ...
