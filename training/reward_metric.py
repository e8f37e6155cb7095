"""A reward model as a metric of evaluations: the reward of a reply, put as a chat has it.

`opener` is what app.py hands to the commands that evaluate. Knows heads, runs and the renderer; torch comes
in with the first reply that is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from assistant import base as bases
from assistant.base import Base, BaseChoice
from assistant.quiet import quiet
from feedback import snapshots
from feedback.command_line import open_store
from feedback.conversations import Turn
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.store import Store
from prompts import library
from prompts.evaluation.items import Metric, Reply, Score
from prompts.evaluation.metrics import REWARD, Rewards
from prompts.evaluation.units import NATS
from prompts.plain import ZERO_SHOT, plain_messages
from prompts.strategy import Strategy
from training import data, heads, runs
from training.data import Rendering
from training.heads import Head

if TYPE_CHECKING:
    from assistant.engines.reply import Vocabulary
    from training.reward_model import Asked, RewardModel


def opener(home: Home, choice: BaseChoice) -> Rewards:
    """Reward models by id or name, by their run's id, or `latest`, on the base of `choice`. Each is loaded
    once, however many datasets and columns it judges.
    """
    known: dict[str, Reward] = {}

    def opened(named: str) -> Metric:
        if named not in known:
            known[named] = _opened(home, replace(choice, remotes=()), named)
        return known[named]

    return opened


def _opened(home: Home, choice: BaseChoice, named: str) -> "Reward":
    """HoneError where there is no such reward model, or it is damaged or stands on another base."""
    store = open_store(home)
    head = _head(store, named)
    base = bases.resolve(home, choice)
    heads.check_files(home, head)
    heads.check_base(head, base.id, bases.chat_template(base).sha256)
    return Reward(home, choice, base, head, _strategy(store, head))


def _head(store: Store, named: str) -> Head:
    try:
        return heads.get(store, named)
    except NotFoundError:
        if not named.startswith("r_"):
            raise
    run = runs.get(store, named)
    head = heads.of_run(store, run.id)
    if head is None:
        made = "is no run of a reward model" if run.method != REWARD else "has made no reward model"
        raise HoneError(
            f"The run {run.id} cannot judge answers.",
            f"It {made}: its method is {run.method}, and it is {run.state}.",
            "Name a reward model, such as reward-1; train one with `hone train reward`.",
        )
    return head


def _strategy(store: Store, head: Head) -> Strategy:
    """How prompts were put to it when it was trained: whatever is in production now, its rewards stay."""
    run = runs.get(store, head.run_id) if head.run_id else None
    if run is None or run.snapshot_id is None:
        return library.production(store, ZERO_SHOT).strategy
    return data.strategy_of(store, snapshots.get(store, run.snapshot_id))


@dataclass(frozen=True)
class Reward:
    """See `prompts.evaluation.items.Metric`."""

    home: Home
    choice: BaseChoice
    base: Base
    head: Head
    strategy: Strategy = field(repr=False)
    unit = NATS

    @property
    def name(self) -> str:
        return f"{REWARD}:{self.head.name}"

    @property
    def rule(self) -> str:
        report = self.head.report
        worth = "Nothing is known of how well it orders new pairs."
        if report is not None:
            share = report.accuracy
            worth = (
                f"It orders {share.value:.0%} of {report.pairs} held-out pairs as people did"
                f" ({share.low:.0%} to {share.high:.0%})."
            )
        return (
            f"The reward that {self.head.name} gives, in nats, to what a person reads of the reply, as the"
            " answer to the plain question in a chat, by whatever prompt it was asked for here; with its end"
            f" token, unless it was cut off. {worth}"
        )

    def judge(self, replies: Sequence[Reply]) -> list[Score | HoneError]:
        """See `Metric`. HoneError for all where the model cannot be loaded."""
        asked = [self._asked(reply) for reply in replies]
        window = bases.limits(self.base)[0]
        fits = [len(prompt) + len(answer) <= window for prompt, answer in asked]
        scores = iter(self._scores([one for one, fit in zip(asked, fits, strict=True) if fit]))
        return [
            Score(next(scores), _read(reply, one)) if fit else self._too_long(one, window)
            for reply, one, fit in zip(replies, asked, fits, strict=True)
        ]

    def _asked(self, reply: Reply) -> "Asked":
        prompt = self._rendering.template.text(
            plain_messages([Turn("user", reply.item.question)], self.strategy)
        )
        return tuple(self._rendering.encode(prompt)), self._rendering.answer_ids(reply.text, reply.ended)

    def _scores(self, asked: "Sequence[Asked]") -> list[float]:
        if not asked:
            return []
        import torch

        try:
            return self._model.score(asked)
        except torch.OutOfMemoryError as error:
            raise HoneError(
                f"There is too little memory for {self.head.name} beside the model that answers.",
                "The device has no more.",
                "Close other programs, and run the same command again: only scores are computed then.",
            ) from error

    def _too_long(self, asked: "Asked", window: int) -> HoneError:
        tokens = len(asked[0]) + len(asked[1])
        return HoneError(
            f"The reply is too long for {self.head.name}.",
            f"Question and reply take {tokens} tokens where its window has {window}.",
            "Lower --max-tokens.",
        )

    @cached_property
    def _rendering(self) -> Rendering:
        words = self._words
        return Rendering(bases.chat_template(self.base), self.strategy, words.ids, words.end_id)

    @cached_property
    def _words(self) -> "Vocabulary":
        from assistant.engines.reply import vocabulary

        return vocabulary(bases.load_tokenizer(self.base), bases.chat_template(self.base), [])

    @cached_property
    def _model(self) -> "RewardModel":
        from training.reward_model import RewardModel

        bases.resolve(self.home, self.choice)  # says so where there is no room left beside the engine
        folder = self.home.path / self.head.folder
        with quiet():
            return RewardModel(bases.load_model(self.base), bases.load_tokenizer(self.base), folder)


def _read(reply: Reply, asked: "Asked") -> str:
    tokens = f"{len(asked[1]) - reply.ended} tokens"
    return tokens if reply.ended else f"{tokens}, cut off"
