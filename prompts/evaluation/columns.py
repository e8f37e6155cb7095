"""What is measured: columns (a strategy on a model, in one way), and what came out of each on each dataset.

Plain data; knows no model and no file.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.statistics import Interval
from prompts.evaluation.model import Model
from prompts.evaluation.shown import CHOOSING, Picking
from prompts.evaluation.units import SHARE, Unit
from prompts.strategy import Strategy

By = Literal["auto", "likelihood", "generation"]
"""likelihood: the option that the model finds most probable is its answer. generation: it writes one. auto:
likelihood where the items have options and the strategy asks once and plainly."""

Calibrate = Literal["no", "nothing", "training", "plain"]
"""What tells the model's leaning, to be taken out: its answers to questions without content, to questions of
the training part, whose right answers nobody looks at, or to the same question put plainly (PMI, Holtzman et
al., 2021)."""

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=256, seed=0)
"""How answers are written, unless a strategy sets its own temperature."""


AS_IT_SAYS = Picking()


@dataclass(frozen=True)
class How:
    """The way of one column."""

    by: By = "auto"
    calibrate: Calibrate = "no"
    examples: Picking = AS_IT_SAYS
    sampling: Sampling = GREEDY

    def changed(self, written: str) -> "How":
        """With `key=value,key=value` in place of what it says. HoneError for what cannot be read."""
        how = self
        for part in filter(None, written.split(",")):
            key, _, value = part.partition("=")
            how = _changed(how, key.strip(), value.strip())
        return how


def _changed(how: How, key: str, value: str) -> How:
    number = int(value) if value.isascii() and value.isdigit() else None
    if key == "by" and value in get_args(By):
        return replace(how, by=cast(By, value))
    if key == "calibrate" and value in ("", *get_args(Calibrate)):
        return replace(how, calibrate=cast(Calibrate, value or "nothing"))
    if key == "choose" and value in CHOOSING:
        return replace(how, examples=replace(how.examples, choose=value))
    if key == "shots" and number is not None:
        return replace(how, examples=replace(how.examples, shots=number))
    if key == "draw" and number is not None:
        return replace(how, examples=replace(how.examples, draw=number))
    if key in ("seed", "max_tokens") and number is not None and (number or key == "seed"):
        return replace(how, sampling=replace(how.sampling, **{key: number}))
    raise HoneError(
        f"A column cannot have {key}={value}.",
        f"Known are by={'|'.join(get_args(By))}, calibrate={'|'.join(get_args(Calibrate))}, shots=NUMBER,"
        f" choose={'|'.join(CHOOSING)}, draw=NUMBER, max_tokens=NUMBER and seed=NUMBER.",
        "For example few-shot:shots=8,choose=nearest.",
    )


@dataclass(frozen=True)
class Column:
    """One strategy, or version of it, on one model. `label`: for people; `version`: the id of its text."""

    label: str
    version: str
    strategy: Strategy
    how: How
    model: Model


@dataclass(frozen=True)
class Outcome:
    """What came of one item. `value`: None when it could not be judged; `error` says why.

    `prompt`: the exact text that the answer was given to. `said`: what a person would read; `taken`: what the
    answer's rule took of it, "" where there is none or it could take nothing; `ended`: the model came to its
    end; False: it was cut off. `shares`: of each option, where they were compared;
    `lean`: what calibration took out. `seconds`: of computing; tokens are summed over all that was asked.
    """

    item_id: str
    question: str
    gold: str
    value: float | None
    prompt: str = ""
    said: str = ""
    read: str = ""
    reasoning: str = ""
    shares: tuple[tuple[str, float], ...] = ()
    lean: tuple[float, ...] = ()
    written_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    error: str = ""
    taken: str = ""
    ended: bool = True


@dataclass(frozen=True)
class Cell:
    """A column on a dataset. `score`: the mean over the items that could be judged, in `unit`; None when none
    could.

    `chosen`: of the column `auto`, for each kind of question what it took and why.
    """

    column: str
    version: str
    model: str
    dataset: str
    by: str
    calibrated: str
    examples: str
    metric: str
    rule: str
    outcomes: tuple[Outcome, ...] = field(repr=False)
    score: Interval | None = None
    chosen: tuple[str, ...] = ()
    unit: Unit = SHARE

    @property
    def failed(self) -> int:
        return sum(outcome.value is None for outcome in self.outcomes)

    @property
    def cut_off(self) -> int:
        """Answers that the limit of tokens ended: what is judged of them is a beginning."""
        return sum(not outcome.ended for outcome in self.outcomes)

    @property
    def seconds(self) -> float:
        return sum(outcome.seconds for outcome in self.outcomes)

    def tokens(self) -> tuple[int, int]:
        """Read and written, summed over the items."""
        read = sum(outcome.prompt_tokens for outcome in self.outcomes)
        return read, sum(outcome.written_tokens for outcome in self.outcomes)


def scores_of_both(a: Cell, b: Cell) -> tuple[list[float], list[float]] | None:
    """The scores of the items that both have one for; None for none."""
    of_b = {outcome.item_id: outcome.value for outcome in b.outcomes}
    pairs = [
        (outcome.value, other)
        for outcome in a.outcomes
        if outcome.value is not None and (other := of_b.get(outcome.item_id)) is not None
    ]
    return ([one for one, _ in pairs], [other for _, other in pairs]) if pairs else None
