"""How prompt versions do with people: win rates from votes, and thumbs. Pure but for `read`; knows no model.

A vote counts for a version where two versions of a prompt answered the same message on the same model: then
nothing but the prompt differed.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

from feedback import duels, evidence
from feedback.duels import Duel, Maker, Thumbs
from feedback.ids import PromptVersionId
from feedback.statistics import Interval, wilson
from feedback.store import Store
from prompts.bradley_terry import Strengths, Vote, fit, votes_needed, weights

K = TypeVar("K")

WORTHWHILE = 0.6
"""The win rate that votes are counted for unless somebody asks for another: three of five."""


@dataclass(frozen=True)
class People:
    """What people said: of two makers at a time, and of one."""

    duels: Sequence[Duel]
    thumbs: Mapping[Maker, Thumbs]


@dataclass(frozen=True)
class Standing:
    """One version. `votes`: given on it against any other version; `votes_against`: against the reference.

    `win_rate`: against the reference, None for the reference itself and where no votes lead to it. `liked`:
    the share of thumbs that are up, None without thumbs. `votes_to_go`: how many more against the reference
    would tell the win rate asked for from a half.
    """

    version_id: PromptVersionId
    votes: int
    votes_against: int
    win_rate: Interval | None
    thumbs: Thumbs
    liked: Interval | None
    votes_to_go: int

    @property
    def told(self) -> bool:
        """Whether the interval tells it from the reference."""
        return self.win_rate is not None and not self.win_rate.low <= 0.5 <= self.win_rate.high


def read(store: Store) -> People:
    """Everything that counts in the store."""
    found = evidence.read(store)
    return People(duels.derive(found), duels.thumbs(found))


def standings(
    people: People,
    versions: Sequence[PromptVersionId],
    reference: PromptVersionId,
    worthwhile: float = WORTHWHILE,
) -> list[Standing]:
    """How each of `versions` stands against `reference`, in the order given."""
    met = on_one_model(people.duels)
    sides = [{duel.first.prompt_version_id, duel.second.prompt_version_id} for duel in met]
    strengths = strengths_of(met, prompt_of, reference)
    needed = votes_needed(worthwhile)
    return [_standing(people, sides, strengths, version, reference, needed) for version in versions]


def on_one_model(found: Sequence[Duel]) -> list[Duel]:
    """The duels in which two prompt versions answered on the same model version."""
    return [
        duel
        for duel in found
        if duel.first.model_version_id == duel.second.model_version_id
        and duel.first.prompt_version_id != duel.second.prompt_version_id
    ]


def strengths_of(found: Sequence[Duel], side: Callable[[Maker], K], reference: K) -> Strengths[K]:
    """Bradley-Terry, each judge weighted. `side`: what of a maker is compared."""
    by_judge = weights(duel.user_id for duel in found)
    votes = [
        Vote(side(one.first), side(one.second), one.score, one.prompt_sha256, by_judge[one.user_id])
        for one in found
    ]
    return fit(votes, reference)


def prompt_of(maker: Maker) -> PromptVersionId:
    """The side of a duel that was fought on one model."""
    return maker.prompt_version_id


def _standing(
    people: People,
    sides: Sequence[Set[PromptVersionId]],
    strengths: Strengths[PromptVersionId],
    version: PromptVersionId,
    reference: PromptVersionId,
    needed: int,
) -> Standing:
    against = sum(pair == {version, reference} for pair in sides)
    given = [count for maker, count in people.thumbs.items() if maker.prompt_version_id == version]
    thumbs = Thumbs(sum(one.up for one in given), sum(one.down for one in given))
    return Standing(
        version_id=version,
        votes=sum(version in pair for pair in sides),
        votes_against=against,
        win_rate=strengths.win_rate(version, reference),
        thumbs=thumbs,
        liked=share_up(thumbs),
        votes_to_go=0 if version == reference else max(0, needed - against),
    )


def share_up(thumbs: Thumbs) -> Interval | None:
    """The share of thumbs that are up, with Wilson's interval; None without thumbs."""
    return wilson(thumbs.up, thumbs.total) if thumbs.total else None
