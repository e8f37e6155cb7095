"""From a snapshot to the rows that a trainer eats, through the one renderer. Knows no trainer and no model.

Only the train part is ever read here: what is held out has no way into a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedback import snapshots
from feedback.errors import HoneError
from feedback.snapshots import Snapshot, SnapshotPair
from feedback.store import Store
from prompts import library
from prompts.chat import ChatTemplate, neutral
from prompts.plain import plain_messages
from prompts.strategy import Strategy
from training.recipes import Recipe


@dataclass(frozen=True)
class Row:
    """One example in token ids. Answers carry their end token; `rejected_ids` is empty for SFT.

    Prompt and answer are tokenised apart, as they are when a reply is written and when the engine scores one.
    """

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Of the longer side, prompt included."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


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


@dataclass(frozen=True)
class Rendering:
    """How text becomes tokens: the one renderer, the strategy of the snapshot, and the base's tokenizer.

    `encode` adds no token of its own; `end_id` is what the chat template writes after a reply.
    """

    template: ChatTemplate
    strategy: Strategy
    encode: Callable[[str], Sequence[int]]
    end_id: int

    def prompt(self, pair: SnapshotPair) -> str:
        return self.template.text(plain_messages(pair.turns, self.strategy, pair.system_text))

    def answer_ids(self, text: str, ended: bool) -> tuple[int, ...]:
        """A reply that was cut off gets no end token: it would teach the model to stop in mid-sentence."""
        # What a person typed is data: a control token in it must not become one.
        ids = self.encode(neutral(text, self.template.control_tokens))
        return (*ids, self.end_id) if ended else tuple(ids)


def strategy_of(store: Store, snapshot: Snapshot) -> Strategy:
    """The strategy through which the snapshot's prompts are put, as it was when it was frozen."""
    return library.get(store, snapshot.prompt_version_id).strategy


def prepare(store: Store, snapshot: Snapshot, recipe: Recipe, rendering: Rendering) -> Rows:
    """The snapshot's train part as rows for `recipe.method`.

    Refuses a snapshot that was frozen for another chat template, and one of which nothing is left.
    """
    if snapshot.chat_template_sha256 != rendering.template.sha256:
        raise HoneError(
            f"The snapshot {snapshot.id} was frozen for another chat template than this model's.",
            "What is trained must be what is served.",
            "Freeze a new snapshot and train on that.",
        )
    rows = select(snapshots.pairs(store, snapshot.id).train, recipe, rendering)
    if not rows.rows:
        raise HoneError(
            f"The snapshot {snapshot.id} leaves nothing to train on.",
            rows.sentence(recipe),
            "Raise max_length, or collect shorter answers.",
        )
    return rows


def select(train: Sequence[SnapshotPair], recipe: Recipe, rendering: Rendering) -> Rows:
    """Pure: rows of one method from training pairs, at most `max_length` tokens each.

    Pairs come longest first, so that the first reference batch meets the largest need for memory. Imitation
    takes demonstrations first, and each (prompt, answer) once.
    """
    if recipe.method == "sft":
        ordered = sorted(train, key=lambda pair: not pair.chosen_is_demonstration)
    else:
        ordered = list(train)
    made = [_row(pair, recipe.method, rendering) for pair in ordered]
    distinct = list(dict.fromkeys(made))
    if recipe.method == "dpo":
        distinct.sort(key=lambda row: -row.tokens)
    kept = tuple(row for row in distinct if row.tokens <= recipe.max_length)
    return Rows(kept, len(distinct) - len(kept), len(made) - len(distinct))


def _row(pair: SnapshotPair, method: str, rendering: Rendering) -> Row:
    prompt = tuple(rendering.encode(rendering.prompt(pair)))
    rejected = rendering.answer_ids(pair.rejected, pair.rejected_ended) if method == "dpo" else ()
    return Row(prompt, rendering.answer_ids(pair.chosen, pair.chosen_ended), rejected)
