"""The model as an evaluation sees it: texts and likelihoods, many at once. Knows no engine."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from feedback.conversations import Sampling
from prompts.chat import ChatTemplate


class CancelledError(Exception):
    """The evaluation was stopped; what was answered before is kept."""


@dataclass(frozen=True)
class Written:
    """What the model wrote. `prompt_tokens` were read, `cached_tokens` of them had been read before."""

    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True)
class Likelihood:
    """log p(answer | prompt) in nats, over `tokens` tokens of the answer. `prompt_tokens`: before it."""

    nats: float
    tokens: int
    prompt_tokens: int


class Model(Protocol):
    """One model version. Safe to call from many threads; the more ask at once, the better it computes."""

    @property
    def name(self) -> str:
        """For people, such as `base-1`."""
        ...

    @property
    def key(self) -> str:
        """What decides its answers beside prompt and settings: version, weights, engine."""
        ...

    @property
    def template(self) -> ChatTemplate: ...

    @property
    def window(self) -> int:
        """Tokens that prompt and answer may take together."""
        ...

    @property
    def at_once(self) -> int:
        """How many items should be under way together."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def write(self, asks: Sequence[tuple[str, Sampling]], stop: threading.Event) -> list[Written]:
        """The answer to each exact prompt. CancelledError when `stop` was set meanwhile."""
        ...

    def likelihoods(
        self, asks: Sequence[tuple[str, str]], stop: threading.Event, *, ended: bool
    ) -> list[Likelihood]:
        """How probable each answer is after its exact prompt: as a whole reply where it `ended`, else as the
        beginning of one. CancelledError as above.
        """
        ...
