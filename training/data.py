"""From a snapshot, or a dataset of answers, to the rows that a trainer eats, through the one renderer.

Knows no trainer and no model.

Only the train part becomes rows to train on; what is held out is read by `held_out` alone, to measure on.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from feedback import frozen_thumbs, snapshots
from feedback.datasets import Answered
from feedback.errors import HoneError
from feedback.frozen_thumbs import SnapshotThumb
from feedback.ids import SnapshotId
from feedback.snapshots import Snapshot, SnapshotPair
from feedback.store import Store
from prompts import library
from prompts.chat import ChatTemplate, neutral
from prompts.plain import plain_messages
from prompts.strategy import Strategy
from training import rounds
from training.methods import METHODS
from training.recipes import Recipe


@dataclass(frozen=True)
class Row:
    """One example in token ids. Answers carry their end token. `rejected_ids` is empty where no two answers
    are compared, and `liked` is set where one is liked or not; a prompt alone has no answer.

    Prompt and answer are tokenised apart, as they are when a reply is written and when the engine scores one.
    """

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    liked: bool | None = None

    @property
    def tokens(self) -> int:
        """Of the longer side, prompt included."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def read_tokens(self) -> int:
        """Of both sides, their prompt once."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True)
class Rows:
    """What a run trains on, what it left out, and the pairs that the judge of RLHF keeps for itself."""

    rows: tuple[Row, ...]
    too_long: int
    repeated: int
    judge: tuple[Row, ...] = ()
    round: str = ""

    def sentence(self, recipe: Recipe) -> str:
        """What the run's log says about its data."""
        said = f"{len(self.rows)} examples to train on"
        if self.too_long:
            said += f"; {self.too_long} left out, longer than {recipe.max_length} tokens"
        if self.repeated:
            said += f"; {self.repeated} left out, the same again"
        return f"{said}. {self.round}".rstrip()


@dataclass(frozen=True)
class Rendering:
    """How text becomes tokens: the one renderer, the strategy of the snapshot, and the base's tokenizer.

    `encode` adds no token of its own; `end_id` is what the chat template writes after a reply.
    """

    template: ChatTemplate
    strategy: Strategy
    encode: Callable[[str], Sequence[int]]
    end_id: int

    def prompt(self, asked: SnapshotPair | SnapshotThumb | Answered) -> str:
        return self.template.text(plain_messages(asked.turns, self.strategy, asked.system_text))

    def answer_ids(self, text: str, ended: bool) -> tuple[int, ...]:
        """A reply that was cut off gets no end token: it would teach the model to stop in mid-sentence."""
        # What a person typed is data: a control token in it must not become one.
        ids = self.encode(neutral(text, self.template.control_tokens))
        return (*ids, self.end_id) if ended else tuple(ids)


def strategy_of(store: Store, snapshot: Snapshot) -> Strategy:
    """The strategy through which the snapshot's prompts are put, as it was when it was frozen."""
    return library.get(store, snapshot.prompt_version_id).strategy


def prepare(
    store: Store,
    snapshot: Snapshot,
    recipe: Recipe,
    rendering: Rendering,
    learnt: Set[rounds.Key] = frozenset(),
) -> Rows:
    """The snapshot's train part as rows for `recipe.method`. `learnt`: the pairs of earlier rounds.

    Refuses a snapshot that was frozen for another chat template, and one of which nothing is left.
    """
    if snapshot.chat_template_sha256 != rendering.template.sha256:
        raise HoneError(
            f"The snapshot {snapshot.id} was frozen for another chat template than this model's.",
            "What is trained must be what is served.",
            "Freeze a new snapshot and train on that.",
        )
    pairs, thumbs = snapshots.pairs(store, snapshot.id).train, frozen_thumbs.read(store, snapshot.id).train
    chosen = rounds.choose(pairs, learnt, recipe.replay, recipe.seed)
    rows = select(chosen.pairs, recipe, rendering, thumbs)
    if METHODS[recipe.method].reads != "thumbs" or recipe.unpair:
        rows = replace(rows, round=chosen.sentence())
    if not rows.rows:
        raise HoneError(
            f"The snapshot {snapshot.id} leaves nothing to train on.",
            rows.sentence(recipe),
            "Raise max_length, or collect shorter answers.",
        )
    return rows


def select(
    train: Sequence[SnapshotPair],
    recipe: Recipe,
    rendering: Rendering,
    thumbs: Sequence[SnapshotThumb] = (),
) -> Rows:
    """Pure: rows of one method from what is to be trained on, at most `max_length` tokens each.

    Pairs and thumbs come longest first, so that the first reference batch meets the largest need for memory.
    Imitation takes demonstrations first, and each (prompt, answer) once. What the judge keeps for itself
    (`kept_for_judge`) neither a reward model nor the policy that is trained on it ever reads.
    """
    reads = METHODS[recipe.method].reads
    judged: list[Row] = []
    if reads == "thumbs":
        made = _rated(train if recipe.unpair else (), thumbs, rendering)
    elif reads == "answers":
        ordered = sorted(train, key=lambda pair: not pair.chosen_is_demonstration)
        made = [replace(_row(pair, rendering), rejected_ids=()) for pair in ordered]
    elif recipe.method == "dpo":
        made = [_row(pair, rendering) for pair in train]
    else:
        judged = [_row(pair, rendering) for pair in train if kept_for_judge(pair.split_key)]
        taught = [pair for pair in train if not kept_for_judge(pair.split_key)]
        made = [_row(pair, rendering) for pair in taught]
        if reads == "prompts":
            made = [Row(row.prompt_ids, (), ()) for row in made]
    distinct = list(dict.fromkeys(made))
    if reads in ("pairs", "thumbs"):
        distinct.sort(key=lambda row: -row.tokens)
    kept = tuple(row for row in distinct if _whole(row, recipe) <= recipe.max_length)
    judges = tuple(row for row in judged if row.tokens <= recipe.max_length)
    return Rows(kept, len(distinct) - len(kept), len(made) - len(distinct), judges)


@dataclass(frozen=True)
class Taught:
    """Questions with their answers as rows: to train on, and those of held-out prompts, to measure on.

    `held_out_bytes`: of the latter's answers, in UTF-8.
    """

    rows: Rows
    held_out: tuple[Row, ...]
    held_out_bytes: int


def teach(
    answered: Sequence[Answered], sides: Mapping[str, bool], recipe: Recipe, rendering: Rendering
) -> Taught:
    """Pure: a dataset of answers as rows, at most `max_length` tokens each, each once.

    `sides`: by split key, whether a prompt is held out.
    """
    parts: dict[bool, dict[Row, int]] = {True: {}, False: {}}
    for one in answered:
        prompt = tuple(rendering.encode(rendering.prompt(one)))
        row = Row(prompt, rendering.answer_ids(one.answer, ended=True), ())
        parts[sides[one.split_key]][row] = len(one.answer.encode())
    taught = sum(not sides[one.split_key] for one in answered)
    kept = tuple(row for row in parts[False] if row.tokens <= recipe.max_length)
    rows = Rows(kept, len(parts[False]) - len(kept), taught - len(parts[False]))
    unseen = tuple(row for row in parts[True] if row.tokens <= recipe.max_length)
    return Taught(rows, unseen, sum(parts[True][row] for row in unseen))


def held_out(store: Store, snapshot_id: SnapshotId, recipe: Recipe, rendering: Rendering) -> tuple[Row, ...]:
    """The held-out pairs that fit, to measure on. Nothing here is ever trained on."""
    found = (_row(pair, rendering) for pair in snapshots.pairs(store, snapshot_id).held_out)
    return tuple(row for row in found if row.tokens <= recipe.max_length)


def one_sided(rows: Sequence[Row]) -> str | None:
    """What to say of thumbs that all point one way; None where both do, and for rows that have none."""
    which = {row.liked for row in rows}
    if which == {True}:
        said = "No answer was disliked, so all of them become likelier and none is told from a worse one."
    elif which == {False}:
        said = "No answer was liked, so answers only become less likely, and replies may lose their sense."
    else:
        return None
    return f"{said} Collect the other thumbs too, or let pairs count: --set unpair=true."


JUDGE_SHARE = 0.2
JUDGE_SALT = "hone-judge-1"


def kept_for_judge(split_key: str) -> bool:
    """Whether a prompt of the train part is kept for the judge of RLHF: a fifth of them, by their hash.

    So the judge is no coach: the votes on these prompts teach neither the reward model nor the policy.
    """
    digest = hashlib.sha256((JUDGE_SALT + split_key).encode()).hexdigest()
    return int(digest[:8], 16) / 2**32 < JUDGE_SHARE


def _whole(row: Row, recipe: Recipe) -> int:
    """Tokens of a row, those included that the model will write itself."""
    return row.tokens + (recipe.answer_tokens if METHODS[recipe.method].reads == "prompts" else 0)


def _row(pair: SnapshotPair, rendering: Rendering) -> Row:
    prompt = tuple(rendering.encode(rendering.prompt(pair)))
    chosen = rendering.answer_ids(pair.chosen, pair.chosen_ended)
    return Row(prompt, chosen, rendering.answer_ids(pair.rejected, pair.rejected_ended))


def _rated(pairs: Sequence[SnapshotPair], thumbs: Sequence[SnapshotThumb], rendering: Rendering) -> list[Row]:
    """Liked and disliked answers. A thumb says more of an answer than a pair that it lost or won."""
    made: dict[tuple[tuple[int, ...], tuple[int, ...]], bool] = {}
    for pair in pairs:
        row = _row(pair, rendering)
        made[row.prompt_ids, row.chosen_ids] = True
        made.setdefault((row.prompt_ids, row.rejected_ids), False)
    for thumb in thumbs:
        prompt = tuple(rendering.encode(rendering.prompt(thumb)))
        made[prompt, rendering.answer_ids(thumb.reply, thumb.ended)] = thumb.liked
    return [Row(prompt, answer, (), liked) for (prompt, answer), liked in made.items()]
