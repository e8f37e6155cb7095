"""The gate: may a candidate answer in the champion's place? `judge` is pure; `evaluate` measures and stores. No trainer.

The unit of evidence is the prompt, not the pair: several pairs of one prompt say much the same thing, so their margins
are averaged first.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "not_enough_evidence"]


@dataclass(frozen=True)
class Bars:
    """What a candidate must clear. Shares are in [0, 1]; `perplexity_ratio` and `length_ratio` are candidate / champion."""

    min_prompts: int = 12
    p_value: float = 0.05
    confidence: float = 0.95
    perplexity_ratio: float = 1.05
    endless_points: float = 0.10
    length_ratio: float = 3.0


@dataclass(frozen=True)
class Check:
    """One line of the report. `low` and `high` are the interval, where there is one; `bar` is None for information.

    `kind` is `effect` (does it do what votes asked?), `guard` (did it break anything?) or `information`.
    `ok` is None where nothing is demanded. `sentence` says it all in words.
    """

    name: str
    title: str
    kind: Literal["effect", "guard", "information"]
    value: float
    low: float | None
    high: float | None
    bar: float | None
    ok: bool | None
    sentence: str


@dataclass(frozen=True)
class Example:
    """A held-out prompt and what both answered it (greedy, cut at the measurement's limit)."""

    prompt: str
    champion: str
    candidate: str


@dataclass(frozen=True)
class GateReport:
    """The verdict, why, and everything that it rests on. Ids are None until it is stored.

    `margins_nats`: one a held-out prompt, for the plot; above 0 the candidate leans to the chosen answer more than the
    champion does.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    margins_nats: tuple[float, ...]
    examples: tuple[Example, ...] = ()
    id: str | None = None
    candidate_id: str | None = None
    champion_id: str | None = None
    snapshot_id: str | None = None
    created_at: str | None = None
