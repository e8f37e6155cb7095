"""Replies in OpenAI's shapes: whole, and as the events of a stream. Pure: no route, waits for nothing."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from assistant.engines.interface import TokenLogprob
from assistant.live import LiveReply
from assistant.openai_api.answers import (
    ChatChoice,
    ChatCompletion,
    ChatLogprobs,
    ChatMessage,
    Finish,
    HoneIds,
    Logprob,
    PromptTokens,
    TextChoice,
    TextCompletion,
    TextLogprobs,
    TokenLogprobs,
    Usage,
)
from feedback.canonical import plain_json
from feedback.errors import HoneError
from feedback.ids import ConversationId, MessageId

Kind = Literal["chat", "text"]
DONE = "data: [DONE]\n\n"
IDS: dict[Kind, tuple[str, str, str]] = {
    "chat": ("chatcmpl-", "chat.completion", "chat.completion.chunk"),
    "text": ("cmpl-", "text_completion", "text_completion"),
}
"""Id prefix, object of a whole answer, object of an event."""
WHOLE: TypeAdapter[ChatCompletion | TextCompletion] = TypeAdapter(ChatCompletion | TextCompletion)


class WritingFailedError(HoneError):
    """The model broke off; the sentence says how."""

    status = 500


@dataclass(frozen=True)
class Answer:
    """One answer on its way: its constant fields, and the replies it is made of. `hone`: our own ids; None
    where nothing is stored, which is so for text.
    """

    kind: Kind
    model: str
    version: str
    hone: HoneIds | None
    replies: Sequence[LiveReply]
    number: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def failure(self) -> HoneError | None:
        """Why there is no answer: the first mistake among the replies."""
        for reply in self.replies:
            if reply.failure is not None:
                return reply.failure
            if reply.state.status == "failed":
                return WritingFailedError(reply.state.error)
        return None

    def whole(self) -> ChatCompletion | TextCompletion:
        """The answer to a request that does not stream, once every reply is finished."""
        constant, used = self.constant(IDS[self.kind][1]), usage(self.replies)
        numbered = enumerate(self.replies)
        if self.kind == "chat":
            return ChatCompletion(**constant, choices=[chat_choice(*one) for one in numbered], usage=used)
        return TextCompletion(**constant, choices=[text_choice(*one) for one in numbered], usage=used)

    def constant(self, shape: str) -> dict[str, Any]:
        """What is the same in the whole answer and in each of its events."""
        fields: dict[str, Any] = {
            "id": IDS[self.kind][0] + self.number,
            "object": shape,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.version,
        }
        return fields | ({"hone": self.hone} if self.hone else {})


class Frames:
    """The events of one stream. What is the same in each is written as JSON once."""

    def __init__(self, answer: Answer, counts: bool) -> None:
        self._answer, self._counts = answer, counts
        self._head = json.dumps(answer.constant(IDS[answer.kind][2]), default=plain_json)[:-1]
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
        chat = self._answer.kind == "chat"
        shown = chat_choice(index, reply) if chat else text_choice(index, reply)
        logprobs = json.dumps(shown.logprobs, default=plain_json)
        empty = '"delta": {}' if chat else '"text": ""'
        return self._choice(index, empty, logprobs, json.dumps(shown.finish_reason))

    def usage(self) -> str:
        """What was used, after the last reply; "" unless wanted."""
        if not self._counts:
            return ""
        used = json.dumps(asdict(usage(self._answer.replies)))
        return f'data: {self._head}, "choices": [], "usage": {used}}}\n\n'

    def _choice(self, index: int, said: str, logprobs: str = "null", why: str = "null") -> str:
        return (
            f'data: {self._head}, "choices": [{{"index": {index}, {said}, "logprobs": {logprobs},'
            f' "finish_reason": {why}}}]{self._tail}'
        )


def chat_choice(index: int, reply: LiveReply) -> ChatChoice:
    message = ChatMessage("assistant", reply.state.content, None)
    return ChatChoice(index, message, chat_logprobs(_logprobs(reply)), finish_reason(reply))


def text_choice(index: int, reply: LiveReply) -> TextChoice:
    return TextChoice(index, reply.state.content, text_logprobs(_logprobs(reply)), finish_reason(reply))


def finish_reason(reply: LiveReply) -> Finish:
    """OpenAI has no word for a reply that a person stopped: it is `stop`."""
    return "length" if reply.completion is not None and reply.completion.finish == "length" else "stop"


def usage(replies: Sequence[LiveReply]) -> Usage:
    done = [reply.completion for reply in replies if reply.completion is not None]
    prompts = {reply.state.prompt_text: reply.state.prompt_tokens for reply in replies}
    prompt_tokens, written = sum(prompts.values()), sum(one.tokens for one in done)
    cached = PromptTokens(max((one.cached_tokens for one in done), default=0))
    return Usage(prompt_tokens, written, prompt_tokens + written, cached)


def _logprobs(reply: LiveReply) -> Sequence[TokenLogprob]:
    return reply.completion.logprobs if reply.completion is not None else ()


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> ChatLogprobs | None:
    if not tokens:
        return None
    told = [
        TokenLogprobs(**vars(_token(one.token, one.nats)), top_logprobs=[_token(*other) for other in one.top])
        for one in tokens
    ]
    return ChatLogprobs(told, None)


def _token(token: str, nats: float) -> Logprob:
    return Logprob(token, nats, list(token.encode("utf-8", "replace")))


def text_logprobs(tokens: Sequence[TokenLogprob]) -> TextLogprobs | None:
    if not tokens:
        return None
    offsets, length = [], 0
    for one in tokens:
        offsets.append(length)
        length += len(one.token)
    return TextLogprobs(
        [one.token for one in tokens],
        token_logprobs=[one.nats for one in tokens],
        top_logprobs=[dict(one.top) for one in tokens],
        text_offset=offsets,
    )


def example(kind: Kind) -> str:
    """A stream of one reply, for the description of the API."""
    reply = LiveReply(MessageId("m_0a1b2c3d4e5f"))
    said = ConversationId("c_0a1b2c3d4e5f")
    ids = HoneIds(reply.reply_id, (reply.reply_id,), said, "dpo-1", "zero-shot") if kind == "chat" else None
    answer = Answer(kind, "hone", "mv_0a1b2c3d4e5f", ids, [reply], number="0" * 24, created=1790000000)
    frames = Frames(answer, counts=False)
    return frames.start(0) + frames.text(0, "Strands of fibre.") + frames.end(0) + DONE
