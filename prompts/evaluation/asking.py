"""Asks the model by way of the kept calls, as prompts.run wants it. Knows no dataset and no metric."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from feedback.conversations import SEEDS, Sampling
from prompts.chat import ChatTemplate
from prompts.evaluation.calls import Calls, Kept, likelihood_key, written_key
from prompts.evaluation.model import CancelledError, Likelihood, Model, Written
from prompts.teller import Ask

A = TypeVar("A")

NEXT_DRAW = 7919
"""Parts the seeds of the draws of one prompt."""


class Clock:
    """Shares the computing time among calls that run side by side: each is charged from the end of the one
    that ended before it, or from its own beginning where that is later. The sum is never more than the time
    that passed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_end = 0.0

    def charge(self, began: float) -> float:
        """The share, in seconds, of a call that ends now."""
        with self._lock:
            ends = time.perf_counter()
            share = ends - max(began, self._last_end)
            self._last_end = ends
            return share


@dataclass(frozen=True)
class Asking:
    """One model behind the kept calls."""

    model: Model
    calls: Calls
    clock: Clock
    stop: threading.Event

    def write(self, asks: Sequence[tuple[str, Sampling]]) -> list[Kept]:
        """The answer to each, side by side; from the file where it is known."""
        keys = [written_key(self.model.key, prompt, sampling) for prompt, sampling in asks]
        return self._asked(keys, asks, lambda missing: self.model.write(missing, self.stop))

    def likelihoods(self, asks: Sequence[tuple[str, str]], *, ended: bool) -> list[Kept]:
        """The likelihood of each (prompt, answer); `ended` as in Model.likelihoods."""
        keys = [likelihood_key(self.model.key, prompt, answer, ended) for prompt, answer in asks]
        return self._asked(
            keys, asks, lambda missing: self.model.likelihoods(missing, self.stop, ended=ended)
        )

    def _asked(
        self,
        keys: Sequence[str],
        asks: Sequence[A],
        compute: Callable[[Sequence[A]], Sequence[Written | Likelihood]],
    ) -> list[Kept]:
        """What is kept under `keys`; what is not is computed from its `asks`, and kept."""
        found = self.calls.find(keys)
        missing = {key: ask for key, ask in zip(keys, asks, strict=True) if key not in found}
        if missing:
            self._check()
            began = time.perf_counter()
            answers = compute(list(missing.values()))
            found |= self._keep(list(missing), answers, self.clock.charge(began))
        return [found[key] for key in keys]

    def _keep(
        self, keys: Sequence[str], answers: Sequence[Written | Likelihood], seconds: float
    ) -> dict[str, Kept]:
        kept = {key: Kept(answer, seconds / len(keys)) for key, answer in zip(keys, answers, strict=True)}
        self.calls.keep(kept.items())
        return kept

    def _check(self) -> None:
        if self.stop.is_set():
            raise CancelledError


class ItemTeller:
    """Answers for one item, for prompts.run; `kept` lists its calls in the order they were asked."""

    system_text = ""

    def __init__(self, asking: Asking, sampling: Sampling) -> None:
        self._asking, self._sampling = asking, sampling
        self.kept: list[Kept] = []
        self._ended: dict[int, bool] = {}  # of the answer, by draw

    @property
    def template(self) -> ChatTemplate:
        return self._asking.model.template

    @property
    def window(self) -> int:
        return self._asking.model.window

    @property
    def max_tokens(self) -> int:
        return self._sampling.max_tokens

    @property
    def stopped(self) -> bool:
        return self._asking.stop.is_set()

    def ended(self, draw: int) -> bool:
        """Whether the model itself ended the answer of this draw; False: its limit of tokens did."""
        return self._ended[draw]

    def count_tokens(self, text: str) -> int:
        return self._asking.model.count_tokens(text)

    def generate(self, ask: Ask) -> Iterator[str]:
        """The whole text as one piece."""
        yield from (text for _, text in self.sample([ask]) if text)

    def sample(self, asks: Sequence[Ask]) -> Iterator[tuple[int, str | None]]:
        """All texts are written side by side, and each comes as one piece."""
        kept = self._asking.write([(ask.prompt_text, self._settings(ask)) for ask in asks])
        self.kept += kept
        # The end token is not among those counted, so an answer that came to its end has room left for it.
        self._ended |= {
            ask.draw: one.answer.tokens < ask.max_tokens
            for ask, one in zip(asks, kept, strict=True)
            if ask.final
        }
        for which, one in enumerate(kept):
            if isinstance(one.answer, Written):
                yield which, one.answer.text
            yield which, None

    def _settings(self, ask: Ask) -> Sampling:
        mine = self._sampling
        temperature = mine.temperature if ask.temperature is None else ask.temperature
        seed = ((mine.seed or 0) + NEXT_DRAW * ask.draw) % SEEDS
        return replace(mine, max_tokens=ask.max_tokens, temperature=temperature, seed=seed)


class _PromptSeenError(Exception):
    def __init__(self, prompt: str) -> None:
        self.prompt = prompt


class PromptTeller(ItemTeller):
    """Asks nothing: tells the prompt that would have been asked first."""

    def sample(self, asks: Sequence[Ask]) -> Iterator[tuple[int, str | None]]:
        raise _PromptSeenError(asks[0].prompt_text)
        yield  # a generator, as the protocol has it

    def seen(self, running: Iterator[object]) -> str:
        """The first prompt of what `running` would ask."""
        try:
            for _ in running:
                pass
        except _PromptSeenError as seen:
            return seen.prompt
        raise AssertionError("a strategy asks at least once")
