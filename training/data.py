"""From a snapshot to the rows that a trainer eats, through the one renderer. Knows no trainer and no model.

Only the train part is ever read here: what is held out has no way into a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedback import snapshots
from feedback.errors import HoneError
from feedback.ids import SnapshotId
from feedback.snapshots import SnapshotPair
from feedback.store import Store
from prompts.chat import ChatTemplate
from prompts.plain import plain_messages
from training.recipes import Recipe


@dataclass(frozen=True)
class Row:
    """One example as text. `prompt` is rendered, ready for the answer; `rejected` is None for SFT.

    `tokens` is the longer of the two sides, prompt and end token included.
    """

    prompt: str
    chosen: str
    rejected: str | None
    tokens: int


@dataclass(frozen=True)
class Rows:
    """What a run trains on, and what it left out."""

    rows: tuple[Row, ...]
    too_long: int
    repeated: int

    def sentence(self, recipe: Recipe) -> str:
        """What the run's log says about its data."""
        said = f"{len(self.rows)} examples to train on"
        if self.too_long:
            said += f"; {self.too_long} left out, longer than {recipe.max_length} tokens"
        if self.repeated:
            said += f"; {self.repeated} left out, the same prompt and answer again"
        return said + "."


CountTokens = Callable[[str], int]


def prepare(
    store: Store, snapshot_id: SnapshotId, recipe: Recipe, template: ChatTemplate, count_tokens: CountTokens
) -> Rows:
    """The snapshot's train part as rows for `recipe.method`.

    Refuses a snapshot frozen for another chat template than `template`, and one of which nothing is left.
    """
    snapshot = snapshots.get(store, snapshot_id)
    if snapshot.chat_template_sha256 != template.sha256:
        raise HoneError(
            f"The snapshot {snapshot.id} was frozen for another chat template than this model is served with.",
            "What is trained must be what is served.",
            "Freeze a new snapshot and train on that.",
        )
    rows = select(snapshots.pairs(store, snapshot.id).train, recipe, template, count_tokens)
    if not rows.rows:
        raise HoneError(
            f"The snapshot {snapshot.id} leaves nothing to train on.",
            rows.sentence(recipe),
            "Raise max_length, or collect shorter answers.",
        )
    return rows


def select(
    train: Sequence[SnapshotPair], recipe: Recipe, template: ChatTemplate, count_tokens: CountTokens
) -> Rows:
    """Pure: rows of one method from training pairs, shorter than `max_length` tokens.

    Pairs come longest first, so that the first reference batch meets the largest need for memory. Imitation takes
    demonstrations first, and each (prompt, answer) once.
    """
    made = [_row(pair, recipe.method, template, count_tokens) for pair in train]
    if recipe.method == "sft":
        order = sorted(range(len(train)), key=lambda i: not train[i].chosen_is_demonstration)
        distinct = list({(made[i].prompt, made[i].chosen): made[i] for i in order}.values())
    else:
        distinct = sorted(made, key=lambda row: -row.tokens)
    kept = tuple(row for row in distinct if row.tokens <= recipe.max_length)
    return Rows(kept, len(distinct) - len(kept), len(made) - len(distinct))


def _row(
    pair: SnapshotPair, method: str, template: ChatTemplate, count_tokens: CountTokens
) -> Row:
    prompt = template.text(plain_messages(pair.turns))
    answers = [pair.chosen] if method == "sft" else [pair.chosen, pair.rejected]
    longest = max(count_tokens(prompt + answer) for answer in answers) + 1
    return Row(prompt, pair.chosen, None if method == "sft" else pair.rejected, longest)
