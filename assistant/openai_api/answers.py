"""OpenAI's answers as types, with what is Hone's own beside it. Knows no route; `shapes` fills them.

Dataclasses, for the reason that assistant/api/answers.py gives.
"""

from dataclasses import dataclass
from typing import Literal

from feedback.ids import ConversationId, MessageId

Finish = Literal["stop", "length"]
Role = Literal["champion", "candidate", "former champion", "base"]


@dataclass(frozen=True)
class HoneIds:
    """What the replies are in Hone: by `reply_id` the first is rated, corrected and compared."""

    reply_id: MessageId
    reply_ids: tuple[MessageId, ...]
    conversation_id: ConversationId
    model_version: str
    strategy: str


@dataclass(frozen=True)
class HoneIdsByAuto(HoneIds):
    """`chosen_because`: why `auto` took the strategy."""

    chosen_because: str


@dataclass(frozen=True)
class Logprob:
    """`logprob` in nats; `bytes` in UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


@dataclass(frozen=True)
class TokenLogprobs(Logprob):
    top_logprobs: list[Logprob]


@dataclass(frozen=True)
class ChatLogprobs:
    content: list[TokenLogprobs]
    refusal: None


@dataclass(frozen=True)
class ChatMessage:
    role: Literal["assistant"]
    content: str
    refusal: None


@dataclass(frozen=True)
class ChatChoice:
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Finish


@dataclass(frozen=True)
class TextLogprobs:
    """One of each for each token; `text_offset` in characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


@dataclass(frozen=True)
class TextChoice:
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Finish


@dataclass(frozen=True)
class PromptTokens:
    """`cached_tokens`: those that need not be computed."""

    cached_tokens: int


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt, counted once for several replies to it, and of all that the model wrote."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


@dataclass(frozen=True, kw_only=True)
class Completion:
    """`system_fingerprint`: the model version's id. `created`: seconds since 1970."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ChatCompletion(Completion):
    hone: HoneIds | HoneIdsByAuto
    choices: list[ChatChoice]
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class TextCompletion(Completion):
    choices: list[TextChoice]
    usage: Usage


@dataclass(frozen=True)
class ModelWays:
    """Who answers by a model's name, and how the question is put."""

    role: Role
    version: str
    strategy: str


@dataclass(frozen=True)
class Model:
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    hone: ModelWays


@dataclass(frozen=True)
class Models:
    object: Literal["list"]
    data: list[Model]
