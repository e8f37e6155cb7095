"""Prompt or retrain? What votes say of a better prompt on the old model, a plain prompt on the new, and both.

Four makers are compared: plain and best prompt, each on the old and the new model; plain on old is where one
stands today. Pure; knows no table and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from feedback.duels import Duel, Maker, Thumbs
from feedback.ids import ModelVersionId, PromptVersionId
from feedback.statistics import Interval
from prompts.bradley_terry import Strengths, votes_needed
from prompts.standings import WORTHWHILE, People, on_one_model, prompt_of, share_up, strengths_of

FEWEST_VOTES = 10
"""With fewer, a cell says only that it has too few: an interval over almost everything invites reading."""


@dataclass(frozen=True)
class Contest:
    """What is compared. `best` None: no prompt was ever voted on beside the plain one on the old model."""

    old: ModelVersionId
    new: ModelVersionId
    plain: PromptVersionId
    best: PromptVersionId | None


@dataclass(frozen=True)
class Cell:
    """One maker. `win_rate`: against plain on old; None there, and where no votes lead to it. `votes`: in
    which it met any other of the four.
    """

    maker: Maker
    votes: int
    win_rate: Interval | None
    thumbs: Thumbs
    liked: Interval | None

    @property
    def too_few(self) -> bool:
        return self.votes < FEWEST_VOTES


@dataclass(frozen=True)
class Report:
    """The four cells, by what was changed, and how the three ways compare with each other.

    `over_*`: how often the first would win against the second, as votes and their models tell; None: nothing
    leads from one to the other.
    """

    choice: Contest
    today: Cell
    prompted: Cell | None
    retrained: Cell
    both: Cell | None
    prompt_over_retrain: Interval | None
    both_over_prompt: Interval | None
    both_over_retrain: Interval | None

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(one for one in (self.today, self.prompted, self.retrained, self.both) if one)

    @property
    def votes_to_go(self) -> int:
        """Votes that the emptiest cell still needs for a win rate of WORTHWHILE to be told from a half."""
        changed = [cell.votes for cell in self.cells if cell is not self.today]
        return max(0, votes_needed(WORTHWHILE) - min(changed, default=0))


def best_prompt(people: People, on: ModelVersionId, plain: PromptVersionId) -> PromptVersionId | None:
    """The version that most surely beats `plain` on this model: whose interval has the highest low end.

    Of those that met `plain` in FEWEST_VOTES votes or more, where there are any: a cell is judged on votes of
    its own.
    """
    met = [duel for duel in on_one_model(people.duels) if duel.first.model_version_id == on]
    strengths = strengths_of(met, prompt_of, plain)
    rates = {key: rate for key in strengths.keys if (rate := strengths.win_rate(key, plain)) is not None}
    sides = [{duel.first.prompt_version_id, duel.second.prompt_version_id} for duel in met]
    direct = {key: sides.count({key, plain}) for key in rates}
    known = [key for key in rates if direct[key] >= FEWEST_VOTES] or list(rates)
    return max(known, key=lambda key: (rates[key].low, key), default=None)


def report(people: People, choice: Contest) -> Report:
    """The comparison, from every vote that leads from one of the four makers to another."""
    today, retrained = Maker(choice.plain, choice.old), Maker(choice.plain, choice.new)
    strengths = strengths_of(people.duels, lambda maker: maker, today)
    prompted = Maker(choice.best, choice.old) if choice.best else None
    both = Maker(choice.best, choice.new) if choice.best else None
    four = [one for one in (today, prompted, retrained, both) if one]
    cells = {one: _cell(people, strengths, one, today, four) for one in four}
    return Report(
        choice,
        cells[today],
        cells[prompted] if prompted else None,
        cells[retrained],
        cells[both] if both else None,
        _rate(strengths, prompted, retrained),
        _rate(strengths, both, prompted),
        _rate(strengths, both, retrained),
    )


def _rate(strengths: Strengths[Maker], one: Maker | None, other: Maker | None) -> Interval | None:
    return strengths.win_rate(one, other) if one and other else None


def _cell(
    people: People, strengths: Strengths[Maker], maker: Maker, today: Maker, four: Sequence[Maker]
) -> Cell:
    thumbs = people.thumbs.get(maker, Thumbs())
    votes = sum(_met(duel, maker, four) for duel in people.duels)
    return Cell(maker, votes, strengths.win_rate(maker, today), thumbs, share_up(thumbs))


def _met(duel: Duel, maker: Maker, four: Sequence[Maker]) -> bool:
    return maker in (duel.first, duel.second) and duel.first in four and duel.second in four


def verdict(found: Report) -> str:
    """What the votes say, in two sentences at most; that they say too little, where they do."""
    prompted, both = found.prompted, found.both
    if prompted is None or both is None:
        return (
            "Nobody has voted on any other prompt beside the plain one on the old model yet."
            " Name one, and ask labellers about all four."
        )
    names = {
        "the better prompt": prompted,
        "the retrained model": found.retrained,
        "both together": both,
    }
    if thin := [f"{name} ({cell.votes} of {FEWEST_VOTES})" for name, cell in names.items() if cell.too_few]:
        return f"There is too little data. Too few votes on {', '.join(thin)}."
    rate = found.prompt_over_retrain
    if rate is None or found.both_over_prompt is None or found.both_over_retrain is None:
        return "There is no telling: no votes lead from one way to the other."
    told = f"{percent(rate.value)} of votes ({percent(rate.low)} to {percent(rate.high)})"
    if rate.low > 0.5:
        first = f"Prompt: the better prompt wins over the retrained model with {told}."
    elif rate.high < 0.5:
        first = f"Retrain: the better prompt wins over the retrained model with only {told}."
    else:
        first = f"It cannot be told yet: the better prompt wins over the retrained model with {told}."
    helps = found.both_over_prompt.low > 0.5 and found.both_over_retrain.low > 0.5
    return f"{first} Both together {'beat either' if helps else 'are not known to beat either'} alone."


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
