"""`auto`: the strategy with the best measured win for this kind of question, and why. Knows no model.

Among the strategies in production, for questions of one kind, on one model version:

1. What people preferred. Of the strategies with ENOUGH_VOTES whose interval of the win rate against zero-shot
   lies above a half, the one with the best win rate is taken. One whose interval lies below is out.
2. Else what evaluations found, asked as a chat asks. Each strategy is compared with zero-shot on the items
   that both answered. Those count whose interval lies above zero, and whose sign test, adjusted for all that
   are compared (Holm), tells it from chance: an interval of few items is too narrow. The best mean is taken.
3. Else zero-shot.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from feedback import duels, evidence, good_answers
from feedback.canonical import sha256_of
from feedback.duels import Duel
from feedback.ids import MessageId, ModelVersionId, PromptVersionId
from feedback.statistics import sign_test
from feedback.store import Store
from prompts import library, measures
from prompts.evaluation.statistics import Paired, holm, paired
from prompts.kinds import PLURAL, Kind, kind_of
from prompts.library import PromptVersion
from prompts.measures import Measuring, Way
from prompts.plain import ZERO_SHOT
from prompts.standings import People, Standing, standings

TITLE = "Auto"
DESCRIPTION = "For each question, the strategy that has won most on questions of its kind; it says why."

ENOUGH_VOTES = 20
"""Votes on a strategy's replies to questions of one kind, before they decide: fewer are one taste."""

SURE = 0.05
QUICK_S, FRESH_S = 0.1, 60.0
"""Judgements that took longer to read than this are read anew at most so often, whatever has changed."""

Key = tuple[PromptVersionId, Way]
Scores = Mapping[Key, Mapping[tuple[str, str], float]]
"""Of each version, asked in one way: the score of each item, by its rule and the item's hash."""


@dataclass(frozen=True)
class Choice:
    """The strategy for a question of `kind`. `because`: the reason with its figures, for people."""

    kind: Kind
    name: str
    because: str


@dataclass(frozen=True)
class Win:
    """A version that beat zero-shot in one way of asking. `more`: right answers, summed over the items."""

    version_id: PromptVersionId
    way: Way
    paired: Paired
    more: float

    def words(self, kind: Kind) -> str:
        found = self.paired.difference
        low, high = _points(found.low), _points(found.high)
        return (
            f"of {self.paired.items} measured {PLURAL[kind]} it got {self.more:g} more right than zero-shot"
            f" (+{_points(found.value)} points, {low} to {high})"
        )


def _points(share: float) -> str:
    return f"{share * 100:.1f}".removesuffix(".0")


def scores_of(found: Iterable[Measuring], kind: Kind, but_not: Set[str] = frozenset()) -> Scores:
    """What is known of questions of one kind; `but_not`: hashes of items that are left out."""
    scores: dict[Key, dict[tuple[str, str], float]] = {}
    for one in found:
        kept = scores.setdefault((one.prompt_version_id, one.way), {})
        for measure in one.measures:
            if measure.kind == kind and measure.item_sha256 not in but_not:
                kept[one.rule, measure.item_sha256] = measure.score
    return {key: items for key, items in scores.items() if items}


def wins(scores: Scores, plain: Callable[[Way], Key]) -> tuple[list[Win], int]:
    """Those that beat zero-shot, the best first; and how many versions were compared with it. `plain`: what a
    version that was asked in this way is compared with.
    """
    pairs: dict[Key, tuple[list[float], list[float]]] = {}
    for key, own in scores.items():
        base = scores.get(plain(key[1]), {})
        both = sorted(own.keys() & base.keys())
        if both and key != plain(key[1]):
            pairs[key] = [base[item] for item in both], [own[item] for item in both]
    sure = zip(pairs.items(), holm([_chance(*pair) for pair in pairs.values()]), strict=True)
    found = [
        Win(*key, paired(base, own), round(sum(own) - sum(base), 2))
        for (key, (base, own)), p in sure
        if p < SURE and sum(own) > sum(base)
    ]
    best = sorted(found, key=lambda one: (-one.paired.difference.value, one.version_id))
    return [one for one in best if one.paired.difference.low > 0], len({version for version, _ in pairs})


def _chance(base: Sequence[float], own: Sequence[float]) -> float:
    """As in `paired`, without the interval: that takes long, and is asked of the few that may win."""
    both = list(zip(base, own, strict=True))
    return sign_test(sum(b > a for a, b in both), sum(b < a for a, b in both))


def choose(
    kind: Kind,
    serving: Sequence[PromptVersion],
    votes: Sequence[Duel],
    found: Sequence[Measuring],
) -> Choice:
    """The choice for questions of one kind. `serving`: every version in production; `votes`: on such
    questions, on the model; `found`: everything measured on the model.
    """
    known = {one.id: one for one in serving}
    zero_shot = next(one.id for one in serving if one.name == ZERO_SHOT)
    judged = _told_by_votes(votes, [one for one in known if one != zero_shot], zero_shot)
    liked = [one for one in judged if one.win_rate and one.win_rate.low > 0.5]
    if liked:
        best = max(liked, key=lambda one: one.win_rate.value if one.win_rate else 0.0)
        return _choice(kind, known[best.version_id], _vote_words(best, kind))
    out = {one.version_id for one in judged}
    scores = {
        (version_id, way): items
        for (version_id, way), items in scores_of(found, kind).items()
        if version_id in known and version_id not in out and way.as_a_chat
    }
    won, compared = wins(scores, lambda way: (zero_shot, way))
    if won:
        return _choice(kind, known[won[0].version_id], won[0].words(kind))
    return _choice(kind, known[zero_shot], nothing_better(kind, compared))


def _choice(kind: Kind, version: PromptVersion, why: str) -> Choice:
    return Choice(kind, version.name, f"Auto chose {version.strategy.title}: {why}.")


def rival_of(name: str, names: Sequence[str], reply_id: MessageId) -> str:
    """Pure: what a reply of `name`, which `auto` chose, is set against when somebody compares: zero-shot, and
    for zero-shot another of `names`, each with equal odds. Votes on such pairs are what `auto` learns by.
    """
    others = [one for one in names if one != ZERO_SHOT]
    if name != ZERO_SHOT or not others:
        return ZERO_SHOT
    return others[int(sha256_of(reply_id)[:8], 16) % len(others)]


def nothing_better(kind: Kind, compared: int, where: str = "on this model") -> str:
    """Why it is zero-shot. `where`: what was looked at."""
    if not compared:
        return f"nothing is measured yet of {PLURAL[kind]} {where}"
    others = "the one strategy" if compared == 1 else f"none of the {compared} strategies"
    verb = "measured is not surely better" if compared == 1 else "measured is surely better"
    return f"for {PLURAL[kind]}, {others} {verb}"


def _told_by_votes(
    votes: Sequence[Duel], versions: Sequence[PromptVersionId], plain: PromptVersionId
) -> list[Standing]:
    """The versions that enough votes tell from `plain`."""
    found = standings(People(votes, {}), versions, plain)
    return [one for one in found if one.votes >= ENOUGH_VOTES and one.told]


def _vote_words(one: Standing, kind: Kind) -> str:
    assert one.win_rate is not None
    rate = one.win_rate
    return (
        f"people prefer it to zero-shot in {rate.value:.0%} of votes on {PLURAL[kind]}"
        f" ({rate.low:.0%} to {rate.high:.0%}, {one.votes} votes)"
    )


@dataclass(frozen=True)
class _Votes:
    """Duels by the kind of what was asked, as they were at `number` of changes; `took_s` to read."""

    number: int
    by_kind: Mapping[Kind, Sequence[Duel]]
    read_at: float
    took_s: float


class Auto:
    """Chooses at each turn; what it read is kept until something changes. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._votes: _Votes | None = None
        self._known: object = None
        self._found: dict[ModelVersionId, list[Measuring]] = {}
        self._choices: dict[tuple[ModelVersionId, Kind], Choice] = {}
        self._lock = threading.Lock()

    def choose(self, question: str, model_version_id: ModelVersionId) -> Choice:
        """The strategy for `question` on this model version."""
        return self.of_kind(kind_of(question), model_version_id)

    def of_kind(self, kind: Kind, model_version_id: ModelVersionId) -> Choice:
        """The strategy for any question of `kind`."""
        with self._lock:
            votes, serving = self._read_votes(), library.serving(self._store)
            known = (votes.number, measures.changes(self._store), [one.id for one in serving])
            if known != self._known:
                self._known, self._found, self._choices = known, {}, {}
            key = (model_version_id, kind)
            if key not in self._choices:
                if model_version_id not in self._found:
                    self._found[model_version_id] = measures.read(self._store, model_version_id)
                of_model = [
                    duel
                    for duel in votes.by_kind.get(kind, ())
                    if duel.first.model_version_id == duel.second.model_version_id == model_version_id
                ]
                found = self._found[model_version_id]
                self._choices[key] = choose(kind, serving, of_model, found)
            return self._choices[key]

    def _read_votes(self) -> _Votes:
        number, kept, started = good_answers.changes(self._store), self._votes, time.monotonic()
        if kept is not None:
            slow = kept.took_s > QUICK_S and started - kept.read_at < FRESH_S
            if kept.number == number or slow:
                return kept
        by_kind = _by_kind(self._store)
        self._votes = _Votes(number, by_kind, started, time.monotonic() - started)
        return self._votes


def _by_kind(store: Store) -> dict[Kind, list[Duel]]:
    found = evidence.read(store)
    kinds = {prompt_id: kind_of(prompt.turns[-1].content) for prompt_id, prompt in found.prompts.items()}
    return {
        kind: duels.derive(replace(found, votes=[v for v in found.votes if kinds[v.prompt_id] == kind]))
        for kind in set(kinds.values())
    }
