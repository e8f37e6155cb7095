"""Items by likelihood: the option that the model finds most probable is its answer. Knows no engine.

An option's likelihood is that of a reply that begins with it: log p of its tokens, summed, without an end
token; where one option begins another, of the whole reply, since both would begin alike.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

from feedback.canonical import sha256_of
from feedback.errors import HoneError
from prompts.evaluation.asking import Asking, PromptTeller
from prompts.evaluation.calibration import calibrated, leaning, shares
from prompts.evaluation.calls import Kept
from prompts.evaluation.columns import How, Outcome
from prompts.evaluation.items import Dataset, Item
from prompts.evaluation.model import Likelihood
from prompts.evaluation.shown import Pinned, Shown
from prompts.examples import Example, Examples
from prompts.plain import ZERO_SHOT, shipped
from prompts.run import run

UNLABELLED = 64
"""Training questions whose mean answer is taken for the model's leaning."""


@dataclass(frozen=True)
class _Put:
    """An item as it is put. `blanks`: the prompts of its calibration. `error`: why it cannot be put."""

    item: Item
    prompt: str = ""
    blanks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Likelihoods:
    """One column's way to choose on one dataset."""

    asking: Asking
    shown: Shown
    dataset: Dataset
    how: How
    _blanks: dict[tuple[str, tuple[Example, ...]], tuple[str, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def outcomes(self, items: Sequence[Item]) -> list[Outcome]:
        """What came of `items`, asked together: prompts that several need are read once."""
        put = [self._put(item) for item in items]
        wanted = dict.fromkeys(
            (prompt, option)
            for one in put
            for prompt in (one.prompt, *one.blanks)
            for option in one.item.options
            if not one.error
        )
        # All first options, then all second ones: by then each prompt has been read.
        asks = sorted(wanted, key=lambda ask: _place(ask[1], items))
        ended = self.dataset.whole or any(_ambiguous(item.options) for item in items)
        known = dict(zip(asks, self.asking.likelihoods(asks, ended=ended), strict=True))
        return [self._outcome(one, known) for one in put]

    def _put(self, item: Item) -> _Put:
        try:
            return _Put(item, self._prompt(item.question, self.shown.pool(item)), self._content_free(item))
        except HoneError as error:  # chiefly a question that does not fit the window
            return _Put(item, error=str(error))

    def _prompt(self, question: str, pool: Examples | None) -> str:
        teller = PromptTeller(self.asking, self.how.sampling)
        return teller.seen(run(self.shown.strategy, (), question, teller, pool))

    def _content_free(self, item: Item) -> tuple[str, ...]:
        """The prompts of calibration for an item: with its own examples. The same for all of its group that
        show the same.
        """
        if self.how.calibrate == "no":
            return ()
        if self.how.calibrate == "plain":
            teller = PromptTeller(self.asking, self.how.sampling)
            return (teller.seen(run(shipped()[ZERO_SHOT], (), item.question, teller)),)
        pool = self.shown.pool(item)
        chosen = self.shown.strategy.steps[-1].chosen(item.question, pool) if pool else ()
        key = (item.group, chosen)
        if key not in self._blanks:
            questions = self.dataset.content_free
            if self.how.calibrate == "training":
                questions = unlabelled(self._drawn, item.group, {one.question for one in chosen})
            pinned = Pinned(chosen) if pool else None
            self._blanks[key] = tuple(self._prompt(question, pinned) for question in questions)
        return self._blanks[key]

    @cached_property
    def _drawn(self) -> list[Item]:
        return drawn(self.dataset.train)

    def _outcome(self, put: _Put, known: dict[tuple[str, str], Kept]) -> Outcome:
        item, prompt, blanks = put.item, put.prompt, put.blanks
        if put.error:
            return Outcome(item.id, item.question, item.answer, None, error=put.error)
        asked = [known[prompt, option] for option in item.options]
        found = shares([_nats(kept) for kept in asked])
        lean: list[float] = []
        if blanks:
            lean = leaning([[_nats(known[blank, option]) for option in item.options] for blank in blanks])
            found = calibrated(found, lean)
        read = item.options[found.index(max(found))]
        return Outcome(
            item_id=item.id,
            question=item.question,
            gold=item.answer,
            value=float(read == item.answer),
            prompt=prompt,
            read=read,
            shares=tuple(zip(item.options, found, strict=True)),
            lean=tuple(lean),
            prompt_tokens=max(kept.answer.prompt_tokens for kept in asked),
            calls=len(asked),
            seconds=sum(kept.seconds for kept in asked),
        )


def drawn(train: Sequence[Item]) -> list[Item]:
    """The training part in the order of a fair draw, the same each time."""
    return sorted(train, key=lambda item: sha256_of([item.id, item.question]))


def unlabelled(train: Sequence[Item], group: str, shown: Set[str]) -> tuple[str, ...]:
    """The first questions of `train` that the prompt does not show, of the item's group where it has any."""
    others = [item for item in train if item.question not in shown]
    own = [item for item in others if item.group == group] or others
    return tuple(item.question for item in own[:UNLABELLED])


def _place(option: str, items: Sequence[Item]) -> int:
    return next(item.options.index(option) for item in items if option in item.options)


def _ambiguous(options: Sequence[str]) -> bool:
    return any(one != other and other.startswith(one) for one in options for other in options)


def _nats(kept: Kept) -> float:
    assert isinstance(kept.answer, Likelihood)
    return kept.answer.nats
