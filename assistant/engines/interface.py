"""What an engine is: prompt text in, reply text out. Knows no model library, no store and no chat.

Every text that Hone reads from a model comes through `Engine`; every implementation passes the same tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from feedback.errors import HoneError

if TYPE_CHECKING:  # the registry and the store's rows are only named here, never opened
    from assistant.registry import ModelVersion
    from feedback.conversations import Sampling
    from prompts.chat import ChatTemplate

Finish = Literal["stop", "length", "stopped"]
"""stop: the model ended its reply; length: max_tokens or the window ended it; stopped: a person did."""

Ability = Literal["json_schema", "token_logprobs"]
"""What not every engine can do: hold a reply to a JSON schema, say how probable each token of it was."""

Progress = Callable[[int, int], None]
"""Called as (done, total)."""


@dataclass(frozen=True)
class Wanted:
    """What a program may ask of a reply beside its text. The default asks nothing.

    stop_texts: the reply ends before the first of these. json_schema: a JSON schema as text that the reply
    must fit ("{}" is any JSON value). top_logprobs: log-probabilities of each token and of that many
    alternatives, as the model gives them: at temperature 1, and whatever a schema forbids; None: none at all.
    """

    stop_texts: tuple[str, ...] = ()
    json_schema: str | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Request:
    """One reply wanted. `prompt` is the exact text for the model, rendered; no token is added to it."""

    prompt: str
    sampling: Sampling
    version: ModelVersion
    stop: threading.Event = field(default_factory=threading.Event, compare=False)
    wanted: Wanted = Wanted()


@dataclass(frozen=True)
class TokenLogprob:
    """One token of a reply: its text and log p in nats at temperature 1, and the most probable tokens there,
    best first, each with its own.
    """

    token: str
    nats: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Completion:
    """One whole reply. `tokens` counts what the model wrote, its end token left out; `cached_tokens` how much
    of the prompt had been read before; `logprobs` has one entry a token where they were wanted.
    """

    text: str
    tokens: int
    finish: Finish
    cached_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


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


class UnableError(HoneError):
    """This engine cannot do what was asked of a reply."""


class SchemaError(UnableError):
    """The JSON schema itself is wrong, or says what no reply can be held to here."""


def check_able(engine: Engine, wanted: Wanted) -> None:
    """UnableError when `wanted` asks for what is outside the abilities of `engine`."""
    asked: dict[Ability, tuple[bool, str]] = {
        "json_schema": (wanted.json_schema is not None, "hold a reply to a JSON schema"),
        "token_logprobs": (wanted.top_logprobs is not None, "give the log-probabilities of a reply's tokens"),
    }
    for ability, (is_asked, words) in asked.items():
        if is_asked and ability not in engine.abilities:
            raise UnableError(
                f"This server cannot {words}.",
                f"Its engine, {engine.name}, does not know how.",
                "Leave it out, or start Hone with another --engine.",
            )


def check_fits(window: int, prompt_ids: Sequence[int], tokens: int) -> None:
    """HoneError for an empty prompt, and when prompt and answer take more `tokens` than `window`."""
    if not prompt_ids:
        raise HoneError("There is nothing to answer.", "The prompt is empty.", "Write a message first.")
    if tokens > window:
        raise HoneError(
            "The prompt is too long for this model.",
            f"It needs {tokens} tokens where the model's window has {window}.",
            "Shorten the message or start a new conversation.",
        )


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

    @property
    def capacity(self) -> int:
        """Replies that it writes side by side without slowing each down more than their number does. More may
        be asked for; they wait inside.
        """
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What of `Wanted` it can do beside stop texts, which every engine knows."""
        ...

    def check(self, wanted: Wanted) -> None:
        """UnableError for what `stream` could not do: a wish outside `abilities`, or, where the engine itself
        holds replies to schemas, a JSON schema that it cannot hold one to.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, control tokens counted as one each, none added."""
        ...

    def tokens(self, text: str) -> list[str]:
        """What each token of `text` stands for, in order: as many as `count_tokens` says, and joined they are
        the text as the model reads it. A token that ends within a character is "": the character comes with
        the one that completes it.
        """
        ...

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """The reply piece by piece, as text that is safe to show; the generator's return value is the whole.

        Ends within one token of `request.stop` being set, or of the generator being closed. The same request
        with the same seed gives the same text, whatever ran before; beside others it may be rounded
        otherwise, and so become another. Raises HoneError when the prompt fills the window, and for what
        `check` refuses.
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

    def warm_up(self, version: ModelVersion) -> None:
        """Do now what the first reply of `version` would otherwise wait for."""
        ...

    def close(self) -> None:
        """Free the model. Running streams end."""
        ...
