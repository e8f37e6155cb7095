"""A model for evaluations that answers by a rule of the test, and datasets in the shapes of public ones."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from feedback.conversations import Sampling
from prompts.evaluation.model import CancelledError, Likelihood, Written
from tests.build import chatml


class RuledModel:
    """Writes `says(prompt, sampling)`, and finds an answer as probable as `finds(prompt, answer)` nats.

    Notes each prompt that it had to compute, and how many asked at the same time.
    """

    name, key, window, at_once = "ruled-1", "ruled", 4096, 4

    def __init__(
        self,
        says: Callable[[str, Sampling], str] = lambda prompt, sampling: "yes",
        finds: Callable[[str, str], float] = lambda prompt, answer: -float(len(answer)),
    ) -> None:
        self.template = chatml()
        self.says, self.finds = says, finds
        self.written: list[str] = []
        self.scored: list[tuple[str, str]] = []
        self.most_at_once = 0
        self._now, self._lock = 0, threading.Lock()

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def write(self, asks: Sequence[tuple[str, Sampling]], stop: threading.Event) -> list[Written]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.written += [prompt for prompt, _ in asks]
        try:
            if stop.wait(0.01):
                raise CancelledError
            texts = [(prompt, self.says(prompt, sampling)) for prompt, sampling in asks]
            return [Written(said, len(said.split()), self.count_tokens(prompt), 0) for prompt, said in texts]
        finally:
            with self._lock:
                self._now -= 1

    def likelihoods(
        self, asks: Sequence[tuple[str, str]], stop: threading.Event, *, ended: bool
    ) -> list[Likelihood]:
        if stop.is_set():
            raise CancelledError
        self.scored += asks
        return [
            Likelihood(self.finds(prompt, answer), len(answer.split()), self.count_tokens(prompt))
            for prompt, answer in asks
        ]


def jsonl(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """`rows` as lines of JSON."""
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


def reviews(file: Path, count: int = 6) -> Path:
    """In the shape of SST-2: every other one is good."""
    return jsonl(
        file,
        [
            {"id": f"r{n}", "text": f"film {n} is {'good' if n % 2 else 'bad'}", "label": n % 2}
            for n in range(count)
        ],
    )


def sums(file: Path, count: int = 6, first: int = 0) -> Path:
    """In the shape of GSM8K."""
    return jsonl(
        file,
        [
            {
                "question": f"Ann has {n} pens and buys {n} more. How many has she?",
                "answer": f"She has {n} + {n} = <<{n}+{n}={2 * n}>>{2 * n} pens.\n#### {2 * n}",
            }
            for n in range(first, first + count)
        ],
    )
