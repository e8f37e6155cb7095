"""The judge of RLHF: human votes that neither the reward model nor the policy learns from.

A policy that is trained on a reward model finds in time what the model overrates, and gets worse by people's
measure while its reward still rises (Gao et al., 2022, "Scaling laws for reward model overoptimization"). The
judge is no second reward model but the votes themselves: how much likelier the policy has made the answers
that people preferred than those they did not. Pure; knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback.statistics import bootstrap_mean

PATIENCE = 2
"""So many judgements in a row must be worse before a run is stopped: one may be chance."""
FEWEST = 8
"""Pairs below which the judge says nothing."""


@dataclass(frozen=True)
class Judgement:
    """After a step: by how many nats each judged pair's margin, log p(chosen) - log p(rejected), has grown
    since the start, and the mean reward of the answers since the last judgement.
    """

    step: int
    gains: tuple[float, ...]
    reward: float

    @property
    def mean(self) -> float:
        return sum(self.gains) / len(self.gains)


def too_few(pairs: int) -> str | None:
    """What to say of a run whose judge has so many pairs, where it says nothing; else None."""
    if pairs >= FEWEST:
        return None
    return (
        f"The judge has {pairs} pairs and says nothing below {FEWEST}, so nobody will notice a policy that"
        " exploits its reward. Collect more votes."
    )


def best(history: Sequence[Judgement]) -> Judgement:
    """The judgement with the highest mean; of equals the first. ValueError for none."""
    return max(history, key=lambda one: (one.mean, -one.step))


def hacked(history: Sequence[Judgement]) -> str | None:
    """Why to stop, in a sentence: the reward is up and the votes say that the policy is worse; else None.

    Worse: the last PATIENCE judgements are each below the best one before them by more than chance (95 %
    bootstrap interval of the paired differences above 0), while each has at least its reward.
    """
    if len(history) <= PATIENCE or len(history[0].gains) < FEWEST:
        return None
    top, last = best(history[:-PATIENCE]), history[-PATIENCE:]
    for one in last:
        lost = [before - after for before, after in zip(top.gains, one.gains, strict=True)]
        if one.reward < top.reward or bootstrap_mean(lost, draws=2000).low <= 0:
            return None
    than = f"after step {top.step}" if top.step else "at the start"
    return (
        f"The reward rose from {top.reward:.2f} to {last[-1].reward:.2f}, but by the votes kept for the judge"
        f" the policy is worse than {than}: {last[-1].mean:+.2f} nats a pair instead of"
        f" {top.mean:+.2f}."
    )
