"""Replies in OpenAI's shapes: whole, and as the events of a stream. Pure: no route, waits for nothing."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assistant.engines.interface import TokenLogprob
from assistant.live import LiveReply
from feedback.errors import HoneError

Kind = Literal["chat", "text"]
DONE = "data: [DONE]\n\n"
IDS: dict[Kind, tuple[str, str, str]] = {
    "chat": ("chatcmpl-", "chat.completion", "chat.completion.chunk"),
    "text": ("cmpl-", "text_completion", "text_completion"),
}
"""Id prefix, object of a whole answer, object of an event."""


class WritingFailedError(HoneError):
    """The model broke off; the sentence says how."""

    status = 500


@dataclass(frozen=True)
class Answer:
    """One answer on its way: its constant fields, and the replies it is made of. `hone`: our own ids, {}
    where nothing is stored.
    """

    kind: Kind
    model: str
    version: str
    hone: dict[str, Any]
    replies: Sequence[LiveReply]

    def failure(self) -> HoneError | None:
        """Why there is no answer: the first mistake among the replies."""
        for reply in self.replies:
            if reply.failure is not None:
                return reply.failure
            if reply.state.status == "failed":
                return WritingFailedError(reply.state.error)
        return None

    def whole(self) -> dict[str, Any]:
        """The answer to a request that does not stream, once every reply is finished."""
        choice = chat_choice if self.kind == "chat" else text_choice
        return {
            **self.constant(IDS[self.kind][1]),
            "choices": [choice(index, reply) for index, reply in enumerate(self.replies)],
            "usage": usage(self.replies),
        }

    def constant(self, shape: str) -> dict[str, Any]:
        """What is the same in the whole answer and in each of its events."""
        fields: dict[str, Any] = {
            "id": IDS[self.kind][0] + secrets.token_hex(12),
            "object": shape,
            "created": int(time.time()),
            "model": self.model,
            "system_fingerprint": self.version,
        }
        return fields | ({"hone": self.hone} if self.hone else {})


class Frames:
    """The events of one stream. What is the same in each is written as JSON once."""

    def __init__(self, answer: Answer, counts: bool) -> None:
        self._answer, self._counts = answer, counts
        self._head = json.dumps(answer.constant(IDS[answer.kind][2]))[:-1]
        self._tail = ', "usage": null}\n\n' if counts else "}\n\n"

    def start(self, index: int) -> str:
        """Who speaks; legacy completions have no such event."""
        if self._answer.kind == "text":
            return ""
        return self._choice(index, '"delta": {"role": "assistant", "content": ""}')

    def text(self, index: int, text: str) -> str:
        """More text."""
        said = json.dumps(text)
        return self._choice(
            index, f'"delta": {{"content": {said}}}' if self._answer.kind == "chat" else f'"text": {said}'
        )

    def end(self, index: int) -> str:
        """Why the reply ended. Its log-probabilities, if wanted, come here, all at once."""
        reply = self._answer.replies[index]
        if self._answer.kind == "chat":
            shown, empty = chat_choice(index, reply), '"delta": {}'
        else:
            shown, empty = text_choice(index, reply), '"text": ""'
        return self._choice(index, empty, json.dumps(shown["logprobs"]), json.dumps(shown["finish_reason"]))

    def usage(self) -> str:
        """What was used, after the last reply; "" unless wanted."""
        if not self._counts:
            return ""
        used = json.dumps(usage(self._answer.replies))
        return f'data: {self._head}, "choices": [], "usage": {used}}}\n\n'

    def _choice(self, index: int, said: str, logprobs: str = "null", why: str = "null") -> str:
        return (
            f'data: {self._head}, "choices": [{{"index": {index}, {said}, "logprobs": {logprobs},'
            f' "finish_reason": {why}}}]{self._tail}'
        )


def chat_choice(index: int, reply: LiveReply) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": reply.state.content, "refusal": None},
        "logprobs": chat_logprobs(_logprobs(reply)),
        "finish_reason": finish_reason(reply),
    }


def text_choice(index: int, reply: LiveReply) -> dict[str, Any]:
    return {
        "index": index,
        "text": reply.state.content,
        "logprobs": text_logprobs(_logprobs(reply)),
        "finish_reason": finish_reason(reply),
    }


def finish_reason(reply: LiveReply) -> str:
    """OpenAI has no word for a reply that a person stopped: it is `stop`."""
    return "length" if reply.completion is not None and reply.completion.finish == "length" else "stop"


def usage(replies: Sequence[LiveReply]) -> dict[str, Any]:
    """Tokens of the prompt, counted once for several replies to it, and of all that the model wrote."""
    done = [reply.completion for reply in replies if reply.completion is not None]
    prompts = {reply.state.prompt_text: reply.state.prompt_tokens for reply in replies}
    prompt_tokens, written = sum(prompts.values()), sum(one.tokens for one in done)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
        "prompt_tokens_details": {"cached_tokens": max((one.cached_tokens for one in done), default=0)},
    }


def _logprobs(reply: LiveReply) -> Sequence[TokenLogprob]:
    return reply.completion.logprobs if reply.completion is not None else ()


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not tokens:
        return None
    return {
        "content": [
            _token(one.token, one.nats) | {"top_logprobs": [_token(*other) for other in one.top]}
            for one in tokens
        ],
        "refusal": None,
    }


def _token(token: str, nats: float) -> dict[str, Any]:
    return {"token": token, "logprob": nats, "bytes": list(token.encode("utf-8", "replace"))}


def text_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not tokens:
        return None
    offsets, length = [], 0
    for one in tokens:
        offsets.append(length)
        length += len(one.token)
    return {
        "tokens": [one.token for one in tokens],
        "token_logprobs": [one.nats for one in tokens],
        "top_logprobs": [dict(one.top) for one in tokens],
        "text_offset": offsets,
    }
