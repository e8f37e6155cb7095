"""One reply being written: its draws, its text, and whether and why it is over. Knows logits, no model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.engines.detokenizer import Detokenizer
from assistant.engines.interface import Completion, Finish, Request
from assistant.engines.sampling import Sampler
from prompts.chat import ChatMessage, ChatTemplate

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Vocabulary:
    """What an engine must know of a tokenizer beside its text.

    `control_ids` are never shown. `end_id` is what the chat template writes after a reply; every one of
    `end_ids` ends one.
    """

    tokenizer: "PreTrainedTokenizerBase"
    control_ids: frozenset[int]
    end_id: int
    end_ids: frozenset[int]

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, none added."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def vocabulary(
    tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate, listed_end_ids: list[int]
) -> Vocabulary:
    """`listed_end_ids`: what the model's own generation settings name."""
    eos_id = int(tokenizer.eos_token_id)
    control_ids = frozenset(_ids_of(tokenizer, template.control_tokens))
    plain = Vocabulary(tokenizer, control_ids, eos_id, frozenset([eos_id, *listed_end_ids]))
    mark = "ANSWER"
    turns = [ChatMessage("user", "question"), ChatMessage("assistant", mark)]
    after = template.text(turns, add_generation_prompt=False).rpartition(mark)[2]
    end_id = next((token for token in plain.ids(after) if token in control_ids), eos_id)
    return Vocabulary(tokenizer, control_ids, end_id, plain.end_ids | {end_id})


class Reply:
    """Feed it logits until it is over. `most_tokens` is what is left of the window; `closed` whether the
    engine is.
    """

    def __init__(
        self,
        request: Request,
        words: Vocabulary,
        most_tokens: int,
        closed: Callable[[], bool],
    ) -> None:
        self.request, self._words, self._closed = request, words, closed
        self.prompt_ids = words.ids(request.prompt)
        self.piece = ""
        self._sampler = Sampler(request.sampling)
        self._text = Detokenizer(words.tokenizer, words.control_ids)
        self._pieces: list[str] = []
        self._tokens = 0
        self._most = min(request.sampling.max_tokens, most_tokens - len(self.prompt_ids))
        self._finish: Finish | None = None if self._most > 0 else "length"

    def take(self, logits: "torch.Tensor") -> int:
        """Draw the next token from `logits`, shape (vocabulary,); `piece` is the text that it completes."""
        token_id = self._sampler.choose(logits)
        if token_id in self._words.end_ids:
            self._finish, self.piece = "stop", ""
            return token_id
        self._tokens += 1
        self.piece = self._text.push(token_id)
        self._pieces.append(self.piece)
        if self._tokens >= self._most:
            self._finish = "length"
        return token_id

    def over(self) -> bool:
        """Whether no more tokens are wanted: it ended, it is long enough, or somebody stopped it."""
        if self._finish is None and (self.request.stop.is_set() or self._closed()):
            self._finish = "stopped"
        return self._finish is not None

    def rest(self) -> str:
        """The text held back until it was clear that nothing follows."""
        rest = self._text.rest()
        self._pieces.append(rest)
        return rest

    def completion(self) -> Completion:
        """The whole, once it is over."""
        self.rest()
        return Completion("".join(self._pieces), self._tokens, self._finish or "stopped")


def _ids_of(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[str]) -> list[int]:
    found = tokenizer.convert_tokens_to_ids(list(tokens))
    return found if isinstance(found, list) else [found]
