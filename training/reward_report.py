"""What a reward model is worth: on pairs that it was not trained on. Pure; knows no model and no store."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feedback.statistics import Interval, wilson

BINS = 5
FEWEST = 10
"""Pairs below which nothing is said of a part."""


@dataclass(frozen=True)
class Bin:
    """Pairs with like confidence: how sure the model was on average, and how often it was right."""

    pairs: int
    said: float
    right: float


@dataclass(frozen=True)
class RewardReport:
    """`accuracy`: the share of pairs whose chosen answer scores higher, with its 95 % Wilson interval.

    `calibration_error`: the expected calibration error of P = sigmoid(margin), in [0, 1] (Guo et al., 2017).
    `longer_is_better`: the accuracy of preferring the longer answer, which is what a reward model may have
    learnt instead. `length_correlation`: Pearson's, of reward with tokens of the answer, over all answers.
    `right_if_longer`, `right_if_shorter`: the accuracy where the chosen answer is the longer, the shorter;
    None where there are fewer than FEWEST such pairs. `longer`, `shorter`: how many there are of each; None
    in reports that were made before they were counted.
    """

    pairs: int
    accuracy: Interval
    mean_margin: float
    calibration_error: float
    bins: tuple[Bin, ...]
    longer_is_better: float
    length_correlation: float
    right_if_longer: float | None
    right_if_shorter: float | None
    longer: int | None = None
    shorter: int | None = None

    def sentences(self) -> list[str]:
        """The report in words."""
        share, pairs = self.accuracy, "1 held-out pair" if self.pairs == 1 else f"{self.pairs} held-out pairs"
        said = [
            f"On {pairs} the chosen answer scores higher in {share.value:.0%}"
            f" ({share.low:.0%} to {share.high:.0%}); preferring the longer answer is right in"
            f" {self.longer_is_better:.0%}.",
            f"Its confidence is off by {self.calibration_error:.2f} on average; reward and length correlate"
            f" by {self.length_correlation:+.2f}.",
        ]
        if self.pairs < FEWEST:
            said.append(f"Fewer than {FEWEST} pairs say little of it: collect more votes.")
        elif max(self.longer_is_better, 1 - self.longer_is_better) >= share.low:
            said.append("That it does better than the length of answers alone is not shown.")
        return [*said, *self._of_length()]

    def _of_length(self) -> list[str]:
        """Whether it has learnt length rather than worth, or why these pairs cannot tell."""
        if self.right_if_longer is not None and self.right_if_shorter is not None:
            return [
                f"It is right in {self.right_if_longer:.0%} where the chosen answer is the longer, and in"
                f" {self.right_if_shorter:.0%} where it is the shorter."
            ]
        if self.longer is None or self.shorter is None or self.pairs < FEWEST:
            return []
        if not self.longer and not self.shorter:
            return ["Both answers of each pair are of the same length, so it cannot have gone by that here."]
        fewer, which = min((self.shorter, "shorter"), (self.longer, "longer"))
        return [
            f"The chosen answer is the {which} in {fewer or 'none'} of them, too few to tell whether it has"
            " learnt length rather than worth."
        ]


@dataclass(frozen=True)
class Scored:
    """A pair as a reward model sees it: rewards, and tokens of the answers."""

    chosen: float
    rejected: float
    chosen_tokens: int
    rejected_tokens: int

    @property
    def right(self) -> bool:
        return self.chosen > self.rejected


def report(pairs: Sequence[Scored]) -> RewardReport:
    """Raises ValueError without pairs."""
    if not pairs:
        raise ValueError("no pairs")
    uneven = [one for one in pairs if one.chosen_tokens != one.rejected_tokens]
    longer = [one for one in uneven if one.chosen_tokens > one.rejected_tokens]
    shorter = [one for one in uneven if one.chosen_tokens < one.rejected_tokens]
    bins = _bins(pairs)
    return RewardReport(
        pairs=len(pairs),
        accuracy=wilson(sum(one.right for one in pairs), len(pairs)),
        mean_margin=sum(one.chosen - one.rejected for one in pairs) / len(pairs),
        calibration_error=sum(one.pairs * abs(one.said - one.right) for one in bins) / len(pairs),
        bins=bins,
        longer_is_better=(len(longer) + (len(pairs) - len(uneven)) / 2) / len(pairs),
        length_correlation=_correlation(
            [one.chosen for one in pairs] + [one.rejected for one in pairs],
            [one.chosen_tokens for one in pairs] + [one.rejected_tokens for one in pairs],
        ),
        right_if_longer=_share(longer),
        right_if_shorter=_share(shorter),
        longer=len(longer),
        shorter=len(shorter),
    )


def from_data(values: dict[str, Any]) -> RewardReport:
    """The inverse of `dataclasses.asdict`."""
    bins = tuple(Bin(**one) for one in values["bins"])
    return RewardReport(**values | {"bins": bins, "accuracy": Interval(**values["accuracy"])})


def _share(pairs: Sequence[Scored]) -> float | None:
    return sum(one.right for one in pairs) / len(pairs) if len(pairs) >= FEWEST else None


def _bins(pairs: Sequence[Scored]) -> tuple[Bin, ...]:
    """Pairs by the probability of the answer that is preferred, from 0.5 to 1, in bins of equal width."""
    parts: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for one in pairs:
        sure = 1 / (1 + math.exp(-abs(one.chosen - one.rejected)))
        parts[min(BINS - 1, int((sure - 0.5) * 2 * BINS))].append((sure, one.right))
    return tuple(
        Bin(len(part), sum(sure for sure, _ in part) / len(part), sum(right for _, right in part) / len(part))
        for part in parts
        if part
    )


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's; 0 where either does not vary."""
    mean, mean_other = sum(one) / len(one), sum(other) / len(other)
    both = sum((a - mean) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = math.sqrt(sum((a - mean) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other))
    return both / spread if spread else 0.0
