"""How good a classifier is, and how much its probabilities are worth. Pure: numbers in, numbers out.

Throughout: N texts, K labels. `logits`, `probabilities`: (N, K). `gold`, `said`: (N,), numbers of labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.statistics import Interval, wilson

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

BINS = 10
COLDEST, HOTTEST = 0.02, 50.0
"""Between these a temperature is looked for."""
HALVINGS = 60


@dataclass(frozen=True)
class Bin:
    """Texts whose likeliest label has a probability in (low, high]. `confidence`: its mean there; `right`:
    the share that is right, with its interval; None where there are no texts.
    """

    low: float
    high: float
    count: int
    confidence: float
    right: Interval | None


@dataclass(frozen=True)
class Calibration:
    """`ece`: expected calibration error (Guo et al. 2017, eq. 3). `log_loss`: nats a text."""

    temperature: float
    ece: float
    log_loss: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class LabelScore:
    """Of one label. `precision`: of those said, how many were it; None where it was never said. `recall`: of
    those that were it, how many were said; None where it never was. `f1`: their harmonic mean, 0 for neither.
    """

    label: str
    examples: int
    precision: Interval | None
    recall: Interval | None
    f1: float


@dataclass(frozen=True)
class Measured:
    """`confusion[i][j]`: how many texts of label i were said to be label j. `before`, `after`: calibration at
    temperature 1 and at the fitted one. `macro_f1`: the mean over labels that occur in the data.
    """

    examples: int
    accuracy: Interval
    macro_f1: float
    labels: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    before: Calibration
    after: Calibration


def measured(logits: Floats, gold: Numbers, names: Sequence[str], temperature: float) -> Measured:
    """Everything there is to say of these texts. ValueError for none."""
    said = logits.argmax(axis=1)
    counts = confusion(gold, said, len(names))
    scores = tuple(_label_score(name, counts, at) for at, name in enumerate(names))
    f1s = [score.f1 for score in scores if score.examples]
    return Measured(
        len(gold),
        wilson(float((said == gold).sum()), len(gold)),
        float(np.mean(f1s)),
        scores,
        tuple(tuple(int(count) for count in row) for row in counts),
        calibration(logits, gold, 1.0),
        calibration(logits, gold, temperature),
    )


def confusion(gold: Numbers, said: Numbers, labels: int) -> Numbers:
    """(K, K): how many texts of label i were said to be label j."""
    counts = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(counts, (gold, said), 1)
    return counts


def _label_score(name: str, counts: Numbers, at: int) -> LabelScore:
    right, of_it, said = int(counts[at, at]), int(counts[at].sum()), int(counts[:, at].sum())
    return LabelScore(
        name,
        of_it,
        wilson(right, said) if said else None,
        wilson(right, of_it) if of_it else None,
        2 * right / (of_it + said) if of_it + said else 0.0,
    )


def probabilities(logits: Floats, temperature: float) -> Floats:
    """softmax(logits / temperature), by rows."""
    scaled = logits / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: Floats = shares / shares.sum(axis=1, keepdims=True)
    return result


def log_loss(logits: Floats, gold: Numbers, temperature: float = 1.0) -> float:
    """Mean -log p of the right label, in nats."""
    scaled = logits / temperature
    top = scaled.max(axis=1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((total - scaled[np.arange(len(gold)), gold]).mean())


def calibration(logits: Floats, gold: Numbers, temperature: float) -> Calibration:
    shares = probabilities(logits, temperature)
    confidence = shares.max(axis=1)
    found = bins(confidence, shares.argmax(axis=1) == gold)
    return Calibration(temperature, ece(found), log_loss(logits, gold, temperature), found)


def bins(confidence: Floats, right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """`BINS` of equal width over (0, 1]."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    found = []
    for at in range(BINS):
        here = place == at
        count = int(here.sum())
        share = wilson(float(right[here].sum()), count) if count else None
        mean = float(confidence[here].mean()) if count else 0.0
        found.append(Bin(at / BINS, (at + 1) / BINS, count, mean, share))
    return tuple(found)


def ece(found: Sequence[Bin]) -> float:
    """The mean distance of confidence from the share that is right, bins weighed by their texts."""
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.confidence - one.right.value) for one in found if one.right) / total


def fitted_temperature(logits: Floats, gold: Numbers) -> float:
    """The temperature with the least log loss (Guo et al. 2017, section 4.2).

    The loss is convex in 1/T, with the slope E_p[logit] - logit of the right label: its zero is found by
    halving. Where there is none an end of the range is the best. Where every text is right, though, the least
    loss is had by being sure of everything: there is no mistake to learn from, and 1 stays.
    """
    if (logits.argmax(axis=1) == gold).all():
        return 1.0
    chosen = logits[np.arange(len(gold)), gold].mean()

    def slope(inverse: float) -> float:
        return float((probabilities(logits, 1 / inverse) * logits).sum(axis=1).mean() - chosen)

    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / (low * high) ** 0.5
