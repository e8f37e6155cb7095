"""What each kind of server wants to be asked, and what its answers mean. Pure: data in, data out; no HTTP.

Seen with vLLM 0.32, llama.cpp's llama-server 0.6, and `transformers serve` 5.23; any other server is spoken
to in plain OpenAI completions. All defaults of sampling that a server may have of its own are set off.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.engines.detokenizer import UNFINISHED
from assistant.engines.interface import TokenLogprob, Wanted
from assistant.engines.remote_errors import ServerError, said
from assistant.engines.reply import Vocabulary
from feedback.conversations import SEEDS, Sampling

Json = Any

LEAST_NATS = -9000.0
"""Servers write something below this where JSON has no word for minus infinity."""
NO_CHANCE_NATS = -9999.0
"""What vLLM writes there."""


@dataclass(frozen=True)
class Prompt:
    """A prompt both ways: as the one renderer wrote it, and as ids."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Chunk:
    """What one event of a stream brought. `ids` is None where the server does not tell them; `finish` is the
    server's word for the end, once it came.
    """

    text: str = ""
    ids: tuple[int, ...] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: str | None = None
    cached_tokens: int | None = None
    counted: int | None = None
    """Tokens that the server says it wrote, the end token among them: comes last, where it comes at all."""


class Plain:
    """OpenAI's completions and nothing beyond. `takes_ids`: prompts go as ids, not as text."""

    kind = "openai"
    path = "/v1/completions"
    one_at_a_time = False
    """Whether a second reply would change the first: then Hone lets it wait."""

    def __init__(self, words: Vocabulary, takes_ids: bool = False) -> None:
        self.words, self.takes_ids = words, takes_ids

    def body(self, model: str, prompt: Prompt, sampling: Sampling, wanted: Wanted) -> dict[str, Json]:
        """What to send for a streamed reply. `sampling.max_tokens` fits the window already."""
        body: dict[str, Json] = {
            "model": model,
            "prompt": self.prompt(prompt),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed % SEEDS
        if wanted.top_logprobs is not None:
            body["logprobs"] = max(1, wanted.top_logprobs)
        return body | self.extras(wanted)

    def prompt(self, prompt: Prompt) -> Json:
        return list(prompt.ids) if self.takes_ids else prompt.text

    def extras(self, wanted: Wanted) -> dict[str, Json]:
        """What this kind of server must be told beside that."""
        return {}

    def chunk(self, event: Json) -> Chunk:
        """One event, read. ServerError for an error that came as an event, or for something else."""
        if not isinstance(event, dict) or event.get("error") or "choices" not in event:
            raise ServerError("The server broke off.", f"It said: {said(event)}", "Ask again.")
        try:
            usage = event.get("usage") or {}
            cached = _count((usage.get("prompt_tokens_details") or {}).get("cached_tokens"))
            counted = _count(usage.get("completion_tokens"))
            if event["choices"] == []:
                return Chunk(cached_tokens=cached, counted=counted)
            choice = event["choices"][0]
            finish = _text(choice.get("finish_reason")) or None
            return Chunk(
                text=_text(choice["text"] if finish is None else choice.get("text")),
                ids=self.ids_of(choice),
                logprobs=self.logprobs_of(choice.get("logprobs")),
                finish=finish,
                cached_tokens=cached,
                counted=counted,
            )
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            raise ServerError(
                "The server sent an event that Hone does not understand.",
                f"It begins with {json.dumps(event)[:80]}.",
                "Check that it speaks OpenAI's completions.",
            ) from error

    def ids_of(self, choice: Json) -> tuple[int, ...] | None:
        return None

    def logprobs_of(self, found: Json) -> tuple[TokenLogprob, ...]:
        """OpenAI's own shape: lists side by side."""
        if not found:
            return ()
        tops = found.get("top_logprobs") or [{}] * len(found["tokens"])
        return tuple(
            TokenLogprob(_text(token), _nats(nats), _best(top))
            for token, nats, top in zip(found["tokens"], found["token_logprobs"], tops, strict=True)
        )

    def score_bodies(
        self, model: str, prompt: Sequence[int], answer: Sequence[int]
    ) -> list[dict[str, Json]] | None:
        """What to send, one after the other, to learn how probable `answer` is after `prompt`; None where
        there is no way.
        """
        return None

    def scores(self, replies: Sequence[Json], answer: Sequence[int]) -> list[float] | None:
        """Each answer token's log p in nats, from the replies to `score_bodies`; None if any is missing."""
        try:
            told = [one for reply in replies for one in self.told(reply["choices"][0].get("logprobs"))]
            nats = [float(one) for _, one in told]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return None
        if [token for token, _ in told] != list(answer):
            return None
        return nats if all(math.isfinite(one) and one > LEAST_NATS for one in nats) else None

    def told(self, found: Json) -> list[tuple[int, float]]:
        """(id, log p) of each token written, end tokens too, where ids are told."""
        return []


class Vllm(Plain):
    """vLLM: ids both ways, structured outputs, log-probabilities of the prompt, adapters at run time."""

    kind = "vllm"

    def __init__(self, words: Vocabulary) -> None:
        super().__init__(words, takes_ids=True)

    def extras(self, wanted: Wanted) -> dict[str, Json]:
        return {
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": sorted(self.words.end_ids),
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            **_vllm_schema(wanted.json_schema),
        }

    def ids_of(self, choice: Json) -> tuple[int, ...] | None:
        found = choice.get("token_ids")
        return None if found is None else tuple(_id(one) for one in found)

    def logprobs_of(self, found: Json) -> tuple[TokenLogprob, ...]:
        """Tokens come as `token_id:7`, so that each can be shown as the local tokenizer writes it."""
        if not found:
            return ()
        return tuple(
            TokenLogprob(self._shown(one.token), one.nats, tuple((self._shown(t), n) for t, n in one.top))
            for one in super().logprobs_of(found)
            if _id_in(one.token) not in self.words.end_ids
        )

    def score_bodies(
        self, model: str, prompt: Sequence[int], answer: Sequence[int]
    ) -> list[dict[str, Json]] | None:
        """Token by token: it may write but the one, and says how probable that was before it was made to.

        Its prompt_logprobs would tell all at once, but with adapters enabled they end the whole server when
        another reply is under way (0.32, seen on a CPU: the layer for adapters expects a row a request).
        """
        return [
            {
                "model": model, "prompt": [*prompt, *answer[:at]], "max_tokens": 1, "temperature": 0,
                "allowed_token_ids": [token], "logprobs": 1, "return_tokens_as_token_ids": True,
            }
            for at, token in enumerate(answer)
        ]  # fmt: skip

    def told(self, found: Json) -> list[tuple[int, float]]:
        found = found or {"tokens": [], "token_logprobs": []}
        ids = [_id_in(one) for one in found["tokens"]]
        return list(zip(ids, found["token_logprobs"], strict=True))

    def _shown(self, token: str) -> str:
        return self.words.text([_id_in(token)])


class LlamaCpp(Plain):
    """llama.cpp's llama-server: ids in, text out, JSON schemas; no adapters that were not there at its start.

    A token that ends inside a character has no entry among the log-probabilities that it tells, and an answer
    with such a token cannot be scored.
    """

    kind = "llama.cpp"

    def __init__(self, words: Vocabulary) -> None:
        super().__init__(words, takes_ids=True)

    def extras(self, wanted: Wanted) -> dict[str, Json]:
        schema = wanted.json_schema
        return {**_LLAMA_NEUTRAL, **({} if schema is None else {"json_schema": json.loads(schema)})}

    def logprobs_of(self, found: Json) -> tuple[TokenLogprob, ...]:
        return tuple(
            TokenLogprob(
                self.words.text([one["id"]]),
                _nats(one["logprob"]),
                tuple((self.words.text([top["id"]]), _nats(top["logprob"])) for top in one["top_logprobs"]),
            )
            for one in (found or {}).get("content", ())
            if one["id"] not in self.words.end_ids
        )

    def score_bodies(
        self, model: str, prompt: Sequence[int], answer: Sequence[int]
    ) -> list[dict[str, Json]] | None:
        """A grammar of tokens lets it write nothing but the answer, and it says how probable that was.

        The end token cannot stand in a grammar: it comes by itself when the grammar is through, and the bias
        picks it among several end tokens. The log-probabilities told are those before grammar and bias.
        """
        ended = bool(answer) and answer[-1] in self.words.end_ids
        said_ids = answer[:-1] if ended else answer
        if any(UNFINISHED in self.words.text([one]) for one in said_ids):
            return None  # its grammars and its log-probabilities know whole characters only
        bias = {"logit_bias": [[answer[-1], 1e6]]} if ended else {}
        grammar = "root ::= " + (" ".join(f"<[{one}]>" for one in said_ids) or '""')
        body = {
            **_LLAMA_NEUTRAL, "model": model, "prompt": list(prompt), "max_tokens": len(answer),
            "temperature": 0, "logprobs": 1, "grammar": grammar, **bias,
        }  # fmt: skip
        return [body]

    def told(self, found: Json) -> list[tuple[int, float]]:
        return [(one["id"], one["logprob"]) for one in (found or {}).get("content", ())]


_LLAMA_NEUTRAL: dict[str, Json] = {
    "top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0, "presence_penalty": 0.0,
    "frequency_penalty": 0.0, "cache_prompt": True,
}  # fmt: skip


class TransformersServe(Plain):
    """`transformers serve`: text in, text out. Its seed is one for the whole process."""

    kind = "transformers-serve"
    one_at_a_time = True

    def body(self, model: str, prompt: Prompt, sampling: Sampling, wanted: Wanted) -> dict[str, Json]:
        """It samples only where its own settings say so, so they are sent whole."""
        own = {
            "do_sample": sampling.temperature > 0,
            "top_k": 0,
            "max_new_tokens": sampling.max_tokens,
            "eos_token_id": sorted(self.words.end_ids),
            "pad_token_id": self.words.end_id,
        }
        body = super().body(model, prompt, sampling, wanted)
        del body["stream_options"]
        return body | {"generation_config": json.dumps(own)}


def _vllm_schema(schema: str | None) -> dict[str, Json]:
    if schema is None:
        return {}
    parsed = json.loads(schema)  # an empty schema would be taken for none at all
    return {"structured_outputs": {"json": parsed} if parsed else {"json_object": True}}


def _text(found: Json) -> str:
    """Text, none for null; whole characters only, as servers that count in UTF-16 may cut one in two."""
    if not isinstance(found, str | None):
        raise TypeError(f"{found!r} is no text")
    return (found or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _id(found: Json) -> int:
    if not isinstance(found, int) or not 0 <= found < 2**31:
        raise ValueError(f"{found!r} is no token's id")
    return found


def _nats(found: Json) -> float:
    """A log-probability; null, which llama.cpp's library writes for minus infinity, is what vLLM writes."""
    if isinstance(found, bool) or not isinstance(found, int | float | None):
        raise TypeError(f"{found!r} is no log-probability")
    return float(found) if found is not None and NO_CHANCE_NATS <= found < math.inf else NO_CHANCE_NATS


def _count(found: Json) -> int | None:
    if not isinstance(found, int | None):
        raise TypeError(f"{found!r} is no number of tokens")
    return found


def _best(top: Json) -> tuple[tuple[str, float], ...]:
    found = [(token, _nats(nats)) for token, nats in (top or {}).items()]
    return tuple(sorted(found, key=lambda one: -one[1]))


def _id_in(token: str) -> int:
    return int(token.removeprefix("token_id:"))


DIALECTS: dict[str, Callable[[Vocabulary], Plain]] = {
    "vllm": Vllm,
    "llamacpp": LlamaCpp,
}
"""By what a server says in /v1/models of who owns its models."""
