"""What may be sent to /v1: OpenAI's parameters, and a refusal by name for what cannot be honoured here.

Knows no route, store or engine. A parameter is met, or harmless to leave unmet, or refused: never ignored.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from assistant.api.bodies import example
from assistant.engines.interface import Wanted
from assistant.problems import ParameterError
from feedback.conversations import SEEDS, Sampling

MOST_REPLIES = 8
MOST_STOP_TEXTS = 4
LEGACY_MAX_TOKENS = 16
"""What OpenAI's own legacy completions write when nobody says how much."""

HARMLESS = frozenset(
    (
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "parallel_tool_calls", "prediction",
    )
)  # fmt: skip
"""Whether they are met changes nothing in the reply."""

UNMET: dict[str, tuple[tuple[Any, ...], str]] = {
    "tools": (([],), "The model here calls no tools."),
    "tool_choice": (("none", "auto"), "The model here calls no tools."),
    "functions": (([],), "The model here calls no functions."),
    "function_call": (("none", "auto"), "The model here calls no functions."),
    "audio": ((), "The model here writes text only."),
    "modalities": ((["text"],), "The model here writes text only."),
    "web_search_options": ((), "Nothing is looked up on the web."),
    "frequency_penalty": ((0,), "Probabilities are not changed by what was said before."),
    "presence_penalty": ((0,), "Probabilities are not changed by what was said before."),
    "logit_bias": (({},), "Single tokens cannot be made more or less likely."),
    "reasoning_effort": ((), "Choose a way to think by the model's name instead, such as hone:cot."),
    "best_of": ((1,), "Every reply is given back: use n."),
    "echo": ((False,), "The prompt is not repeated."),
    "suffix": (("",), "Text is only written after a prompt."),
}
"""Parameters that cannot be met: the values at which they ask for nothing, and why not others."""

StopText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _one(wrapped: Callable[[str], object]) -> Callable[[Any], Any]:
    """Reads a text as the list that it is short for, so that an error names a place in one kind of value."""
    return lambda value: [wrapped(value)] if isinstance(value, str) else value


StopTexts = Annotated[
    list[StopText],
    Field(max_length=MOST_STOP_TEXTS),
    BeforeValidator(_one(str), json_schema_input_type=StopText | list[StopText]),
]
Prompts = Annotated[
    list[str],
    Field(min_length=1, max_length=MOST_REPLIES),
    BeforeValidator(_one(str), json_schema_input_type=str | list[str]),
]
Parts = Annotated[
    list[dict[str, Any]],
    BeforeValidator(
        _one(lambda text: {"type": "text", "text": text}), json_schema_input_type=str | list[dict[str, Any]]
    ),
]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    include_usage: bool = False
    """whether the stream's last event counts the tokens"""


class Asking(BaseModel):
    """What both kinds of request may say of how a reply is written. null is the same as left out."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    model: str = "hone"
    """`hone` (the champion), `hone:cot`, a version's name, or `VERSION:cot`; GET /v1/models lists them"""
    stream: bool | None = None
    """whether the answer comes as server-sent events, piece by piece"""
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    n: int | None = Field(default=None, ge=1, le=MOST_REPLIES)
    """how many answers to each prompt"""
    seed: int | None = None
    """asked alone, the same seed gives the same answer; with `n`, the further answers count up from it"""
    stop: StopTexts | None = None
    """texts before which the answer ends; at most 4"""
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def counts_in_stream(self) -> bool:
        """Whether the stream's last event shall say what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def replies(self) -> int:
        return self.n or 1

    @property
    def stop_texts(self) -> tuple[str, ...]:
        return tuple(self.stop or ())

    def check_extra(self) -> None:
        """ParameterError for what is asked for and cannot be met, and for what nobody knows."""
        for name, value in (self.model_extra or {}).items():
            if value is None or name in HARMLESS:
                continue
            if name not in UNMET:
                raise ParameterError(
                    name, f"There is no parameter {name}.", todo="Leave it out.", code="unknown_parameter"
                )
            harmless, why = UNMET[name]
            if value not in harmless:
                raise ParameterError(
                    name, f"{name} cannot be met here.", why, "Leave it out.", "unsupported_parameter"
                )

    def samplings(self, max_tokens: int | None) -> list[Sampling]:
        """How each of the replies is drawn. With a seed, the further ones count up from it."""
        usual = Sampling()
        return [
            Sampling(
                usual.temperature if self.temperature is None else self.temperature,
                usual.top_p if self.top_p is None else self.top_p,
                max_tokens or usual.max_tokens,
                None if self.seed is None else (self.seed + place) % SEEDS,
            )
            for place in range(self.replies)
        ]


class Message(BaseModel):
    """One message as programs write it. Nulls and empty lists of a reply that is sent back are let pass."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    role: str
    """system or developer (first only), user, assistant"""
    content: Parts | None = None
    """a text, or a list of parts of the type text"""

    def text(self, place: int) -> str:
        """The content as one text. ParameterError for what is no text."""
        where = f"messages.{place}"
        for name, value in (self.model_extra or {}).items():
            if value not in (None, [], "") and name != "hone":
                raise ParameterError(f"{where}.{name}", f"A message's {name} cannot be met here.")
        texts = []
        for number, part in enumerate(self.content or ()):
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise ParameterError(
                    f"{where}.content.{number}.type",
                    f"A part of the type {str(part.get('type'))[:40]} cannot be read.",
                    "The model here reads text only.",
                    "Send parts of the type text.",
                )
            texts.append(part["text"])
        return "".join(texts)


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    type: str
    """text, json_object or json_schema"""
    json_schema: dict[str, Any] | None = None
    """for the type json_schema: the schema stands under `schema`"""

    def schema_text(self) -> str | None:
        """The JSON schema that the reply must fit, as text; None for free text."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return '{"type": "object"}'
        if self.type != "json_schema":
            raise ParameterError(
                "response_format.type",
                f"There is no response format {self.type[:40]}.",
                todo="Use text, json_object or json_schema.",
            )
        schema = (self.json_schema or {}).get("schema")
        if not isinstance(schema, dict):
            raise ParameterError(
                "response_format.json_schema", "The schema is missing.", todo="Put it under `schema`."
            )
        return json.dumps(schema)


class ChatBody(Asking):
    """A request to /v1/chat/completions."""

    model_config = example(
        model="hone",
        messages=[{"role": "user", "content": "Why is the sky blue?"}],
        max_tokens=32,
        seed=1,
    )

    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    logprobs: bool | None = None
    """the log-probability of each token, in nats"""
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """at each place, those of so many likeliest tokens too"""
    response_format: ResponseFormat | None = None
    """holds the answer to JSON (`json_object`) or to a schema (`json_schema`), where the engine can"""

    def wanted(self) -> Wanted:
        """What is asked of the replies beside their text."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ParameterError("top_logprobs", "top_logprobs needs logprobs.", todo="Set logprobs to true.")
        return Wanted(
            self.stop_texts,
            self.response_format.schema_text() if self.response_format else None,
            (self.top_logprobs or 0) if self.logprobs else None,
        )

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Asking):
    """A request to /v1/completions, the older kind: text in, text after it out."""

    model_config = example(prompt="One, two, three,", max_tokens=8)

    prompt: Prompts
    logprobs: int | None = Field(default=None, ge=0, le=5)

    def wanted(self) -> Wanted:
        return Wanted(self.stop_texts, None, self.logprobs)

    def limit(self) -> int:
        return self.max_tokens or LEGACY_MAX_TOKENS
