"""Measures: what evaluations found of prompt versions, item by item. Knows no model and no evaluation.

Owns prompt_measurings and prompt_measures. An item that is measured again, in the same way by the same rule,
replaces what was known of it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from feedback.canonical import canonical_json, sha256_of
from feedback.ids import ModelVersionId, PromptVersionId, new_id
from feedback.store import Store, now
from prompts.kinds import Kind

Shown = Literal["own", "dataset", "none"]
"""Examples in the prompts: the strategy's own, those of the dataset's training part, or taken out."""


@dataclass(frozen=True)
class Way:
    """How a version was asked.

    `by`: generation or likelihood; `calibrate`: what took the model's leaning out, or no. `shots`, `choose`
    None: as the strategy says. `max_tokens`, `seed`: of what was written; None where nothing was.
    """

    by: str = "generation"
    calibrate: str = "no"
    examples: Shown = "own"
    shots: int | None = None
    choose: str | None = None
    draw: int = 0
    max_tokens: int | None = None
    seed: int | None = None

    @property
    def as_a_chat(self) -> bool:
        """Whether a chat asks so: the strategy as it is written, answered in words."""
        return (self.by, self.calibrate, self.examples) == ("generation", "no", "own")


@dataclass(frozen=True)
class Measure:
    """One item. `score`: 0 to 1."""

    item_sha256: str
    dataset: str
    kind: Kind
    score: float


@dataclass(frozen=True)
class Measuring:
    """Items of one version on one model, all asked in one way and judged by one rule."""

    model_version_id: ModelVersionId
    prompt_version_id: PromptVersionId
    way: Way
    rule: str
    measures: Sequence[Measure] = field(repr=False)


def item_sha256(question: str) -> str:
    """Names an item: the same question is the same item, whatever file it stands in."""
    return sha256_of(question.strip())


def record(store: Store, found: Sequence[Measuring]) -> int:
    """Keep what was measured of versions that the library knows; the rest is left out. All, or nothing.

    Returns how many measures were kept.
    """
    with store.transaction():
        known = {row["id"] for row in store.rows("SELECT id FROM prompt_versions")}
        kept = [one for one in found if one.prompt_version_id in known and one.measures]
        for one in kept:
            _insert(store, one)
    return sum(len(one.measures) for one in kept)


def _insert(store: Store, one: Measuring) -> None:
    (row,) = store.rows(
        """
        INSERT INTO prompt_measurings (id, model_version_id, prompt_version_id, way_json, rule, measured_at)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET measured_at = excluded.measured_at RETURNING id
        """,
        *(new_id("pm"), one.model_version_id, one.prompt_version_id),
        *(canonical_json(one.way), one.rule, now()),
    )
    rows = [[row["id"], *asdict(measure).values()] for measure in one.measures]
    store.execute(
        """
        INSERT OR REPLACE INTO prompt_measures (measuring_id, item_sha256, dataset, kind, score)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)
        """,
        json.dumps(rows),
    )


def read(store: Store, model_version_id: ModelVersionId) -> list[Measuring]:
    """All that is known of versions on one model."""
    measurings = store.rows(
        "SELECT id, prompt_version_id, way_json, rule FROM prompt_measurings WHERE model_version_id = ?"
        " ORDER BY rowid",
        model_version_id,
    )
    return [
        Measuring(
            model_version_id,
            row["prompt_version_id"],
            Way(**json.loads(row["way_json"])),
            row["rule"],
            [
                Measure(**dict(one))
                for one in store.rows(
                    "SELECT item_sha256, dataset, kind, score FROM prompt_measures WHERE measuring_id = ?",
                    row["id"],
                )
            ],
        )
        for row in measurings
    ]


def changes(store: Store) -> tuple[int, str]:
    """Something that differs after anything has been recorded."""
    row = store.row("SELECT count(*) AS count, coalesce(max(measured_at), '') AS at FROM prompt_measurings")
    assert row is not None
    return int(row["count"]), str(row["at"])
