"""RLHF as a task that any process can be handed: who writes the answers, what scores them, and what was
gained. Knows no store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant import base as bases
from assistant.base import Base
from training import rules
from training.data import Row

if TYPE_CHECKING:
    from training.rlhf import Reward
    from training.trainers import Hooks, Job


@dataclass(frozen=True)
class Online:
    """What RLHF learns from beside its prompts. `base`: as it is served, from which answers are written and
    on which the reward model stands. `head`: the folder of that; None: the recipe names a rule. `judge`:
    pairs for `training.judge`. `end_id` ends an answer.
    """

    base: Base
    head: Path | None
    judge: tuple[Row, ...]
    end_id: int


def train(
    job: Job, online: Online, unseen: tuple[Row, ...], hooks: Hooks, say: Callable[[str], None]
) -> Path:
    """Train online; returns the folder of the finished adapter. `unseen`: held-out rows, on whose prompts is
    measured what was gained.
    """
    from training import answering, rlhf

    write = answering.writer(job, online.base, online.end_id)
    prompts = tuple(dict.fromkeys(row.prompt_ids for row in unseen))
    told = rlhf.Told(_reward(job, online), write, online.judge, prompts, online.end_id, say)
    finished = rlhf.train_rlhf(job, hooks, told)
    if (gain := finished.gain) is not None:
        say(
            f"On held-out prompts the reward of an answer changed by {gain.value:+.2f}"
            f" (95 % interval {gain.low:+.2f} to {gain.high:+.2f})."
        )
        figures = {"unseen_gain": gain.value, "unseen_gain_low": gain.low, "unseen_gain_high": gain.high}
        hooks.on_metrics(finished.steps, figures)
    return finished.folder


def _reward(job: Job, online: Online) -> Reward:
    """What scores an answer: a rule, or a reward model on a trunk of its own."""
    if online.head is not None:
        from training.reward_model import RewardModel

        return RewardModel(bases.load_model(online.base), job.tokenizer, online.head).score
    rule = rules.named(job.recipe.reward)
    assert rule is not None  # else there is a head
    return lambda asked: [rule(job.tokenizer.decode(answer, skip_special_tokens=True)) for _, answer in asked]
