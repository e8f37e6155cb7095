"""A reply that another program writes, as it arrives: its text made safe to show, its tokens counted. Knows
no HTTP.

Where the server tells ids, they are turned into text here, as the other engines do; where it tells only text,
control tokens are taken out of that.
"""

from collections.abc import Sequence

from assistant.engines.detokenizer import Detokenizer
from assistant.engines.interface import Completion, Finish, Request, TokenLogprob
from assistant.engines.remote_dialects import Chunk
from assistant.engines.reply import Vocabulary
from assistant.engines.stop_texts import StopTexts
from feedback.errors import HoneError
from prompts.answers import overlap

FINISHES: dict[str, Finish] = {
    "stop": "stop", "length": "length",
    "eos": "stop", "eos_token": "stop", "end": "stop",
}  # fmt: skip
"""OpenAI's words, and what others say for its `stop` (text-generation-inference 2.2: `eos_token`)."""


class ControlTexts:
    """Takes control tokens out of text, even when pieces cut them. `ended`: one that ends a reply came."""

    def __init__(self, control: Sequence[str], ends: Sequence[str]) -> None:
        self._control = sorted(control, key=len, reverse=True)
        self._ends = StopTexts(ends)
        self._held = ""

    @property
    def ended(self) -> bool:
        return self._ends.found

    def push(self, piece: str) -> str:
        """The text that is certain to be no control token's, perhaps none."""
        text = self._held + self._ends.push(piece)
        for token in self._control:
            text = text.replace(token, "")
        kept = max((overlap(text, token) for token in self._control), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What was held back, when no more comes."""
        held, self._held = self._held + self._ends.rest(), ""
        return held


class RemoteReply:
    """Feed it chunks until it is over."""

    def __init__(self, request: Request, words: Vocabulary, control_texts: Sequence[str]) -> None:
        self._words, self._wanted = words, request.wanted
        self._most_tokens = request.sampling.max_tokens
        ends = [words.text([one]) for one in sorted(words.end_ids)]
        self._clean = ControlTexts([one for one in control_texts if one not in ends], ends)
        self._detokenizer = Detokenizer(words.text, words.control_ids)
        self._stop_texts = StopTexts(request.wanted.stop_texts)
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._tokens: int | None = None
        self._raw = ""
        self._cached_tokens = 0
        self._counted: int | None = None
        self.finish: Finish | None = None

    def take(self, chunk: Chunk) -> str:
        """The text that is safe to show now. HoneError when the server gave the reply up."""
        self._cached_tokens = chunk.cached_tokens or self._cached_tokens
        self._counted = chunk.counted or self._counted
        if self.finish is not None:
            return ""
        text = self._clean.push(chunk.text) if chunk.ids is None else self._of_ids(chunk.ids)
        self._raw += text
        most = self._wanted.top_logprobs or 0
        self._logprobs += [TokenLogprob(one.token, one.nats, one.top[:most]) for one in chunk.logprobs]
        piece = self._say(self._stop_texts.push(text))
        if self._stop_texts.found or self._clean.ended:
            self.finish = "stop"
        elif chunk.finish is not None:
            self.finish = self._end(chunk.finish)
        return piece

    def rest(self) -> str:
        """The text held back until it was clear that nothing follows."""
        if self._stop_texts.found:
            return ""
        text = self._clean.rest() + self._detokenizer.rest()
        self._raw += text
        piece = self._say(self._stop_texts.push(text) + self._stop_texts.rest())
        if self._stop_texts.found:
            self.finish = "stop"
        return piece

    def completion(self) -> Completion:
        """The whole, once `rest` was taken."""
        return Completion(
            "".join(self._pieces),
            self._count(),
            self.finish or "stopped",
            self._cached_tokens,
            tuple(self._logprobs) if self._wanted.top_logprobs is not None else (),
        )

    def _count(self) -> int:
        """Tokens written: by their ids, else by the server's word, else as many as the text would make."""
        if self._tokens is not None:
            return self._tokens
        if self._counted is not None and not self._stop_texts.found:
            return self._counted - (self.finish == "stop")
        return min(len(self._words.ids(self._raw)), self._most_tokens)

    def _of_ids(self, ids: Sequence[int]) -> str:
        written = [one for one in ids if one not in self._words.end_ids]
        self._tokens = (self._tokens or 0) + len(written)
        return "".join(self._detokenizer.push(one) for one in written)

    def _say(self, piece: str) -> str:
        self._pieces.append(piece)
        return piece

    def _end(self, word: str) -> Finish:
        if word not in FINISHES:
            raise HoneError(
                "The reply broke off.",
                f"The server gave it up ({word}).",
                "What was written is kept. Ask again.",
            )
        return FINISHES[word]
