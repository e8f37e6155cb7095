"""Puts evaluation on an engine: a model version as prompts.evaluation sees models, and a home opened for it.

Knows engines and versions; no dataset and no score.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import click

from assistant import registry
from assistant.base import BaseChoice
from assistant.engines.interface import Answered, Engine, Request
from assistant.registry import ModelVersion
from assistant.serving import Serving, open_home, running
from feedback.conversations import Sampling
from feedback.home import Home
from feedback.ids import ModelVersionId
from feedback.store import Store
from prompts.chat import ChatTemplate
from prompts.evaluation.metrics import Rewards
from prompts.evaluation.model import CancelledError, Likelihood, Written

WORDS_KEPT = 4096
"""Prompts whose tokens are remembered: fitting, calibration and reports ask for the same ones again."""

RewardsOf = Callable[[Home, BaseChoice], Rewards]
"""The reward models of a home, on a base. app.py hands it to the commands as click's object: a reward model
is of a room that this one may not know."""


class EngineModel:
    """A model version on an engine, for prompts.evaluation.matrix."""

    def __init__(self, engine: Engine, version: ModelVersion) -> None:
        engine.load(version)
        self._engine, self._version = engine, version
        self.count_tokens = lru_cache(WORDS_KEPT)(engine.count_tokens)

    @property
    def name(self) -> str:
        return self._version.name

    @property
    def version_id(self) -> ModelVersionId:
        return self._version.id

    @property
    def key(self) -> str:
        """Base, adapter and engine: what decides the numbers, and the same in every home."""
        version = self._version
        return f"{self._engine.name}/{version.base_id}/{version.adapter_sha256 or 'base'}"

    @property
    def template(self) -> ChatTemplate:
        return self._engine.template

    @property
    def window(self) -> int:
        return self._engine.window

    @property
    def at_once(self) -> int:
        return self._engine.capacity

    def write(self, asks: Sequence[tuple[str, Sampling]], stop: threading.Event) -> list[Written]:
        """See `Model.write`."""
        requests = [Request(prompt, sampling, self._version, stop) for prompt, sampling in asks]
        completions = self._engine.batch(requests)
        if any(one.finish == "stopped" for one in completions):
            raise CancelledError
        return [
            Written(one.text, one.tokens, self.count_tokens(prompt), one.cached_tokens)
            for one, (prompt, _) in zip(completions, asks, strict=True)
        ]

    def likelihoods(
        self, asks: Sequence[tuple[str, str]], stop: threading.Event, *, ended: bool
    ) -> list[Likelihood]:
        """See `Model.likelihoods`."""
        answers = [Answered(prompt, answer, ended) for prompt, answer in asks]
        found = self._engine.logprobs(answers, self._version)
        if stop.is_set():
            raise CancelledError
        return [
            Likelihood(one.total_nats, one.tokens, self.count_tokens(prompt))
            for one, (prompt, _) in zip(found, asks, strict=True)
        ]


@dataclass(frozen=True)
class Bench:
    """A home that is open for evaluation."""

    serving: Serving

    @property
    def store(self) -> Store:
        return self.serving.store

    def model(self, named: str) -> EngineModel:
        """A version by name or id; `champion`: the one that answers now. NotFoundError for none."""
        champion = named == registry.CHAMPION
        version = registry.champion(self.store) if champion else registry.get(self.store, named)
        return EngineModel(self.serving.engine, version)


def calls_file(home: Home) -> Path:
    """Where the answers of evaluations are kept; safe to delete, at the price of computing them again."""
    return home.path / "evaluations.db"


@contextmanager
def opened(home: Home, choice: BaseChoice) -> Iterator[Bench]:
    """The home with its engine. A server that runs on it goes on: the evaluation loads an engine of its own,
    and both share the processor.
    """
    if running(home) is not None:
        click.echo(
            "A server runs on this home. The evaluation loads a model of its own beside it: "
            "both are slower meanwhile.",
            err=True,
        )
    serving = open_home(home, choice)
    try:
        yield Bench(serving)
    finally:
        serving.engine.close()
