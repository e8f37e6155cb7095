"""A training that has lost its way: a loss or gradient that is no number any more, chosen answers that fall.
Knows no trainer.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean

from feedback.errors import HoneError
from training.recipes import Recipe

WATCHED = ("loss", "grad_norm")
FALL_NATS = 1.0
"""A warning from here on: the answers that people chose have become e times less likely."""
STEPS = 9
"""Fewer say nothing yet."""


def check_finite(step: int, figures: Mapping[str, float], todo: str) -> None:
    """HoneError, with `todo`, when one of WATCHED among a step's figures is infinite or no number."""
    for name in WATCHED:
        if not isfinite(figures.get(name, 0.0)):
            raise HoneError(
                f"The {name} became {figures[name]} at step {step}.",
                "The learning rate is most likely too high for these data.",
                todo,
            )


def falling(recipe: Recipe, chosen_rewards: Sequence[float]) -> str | None:
    """What to say of a run of DPO whose chosen answers themselves become less likely; None where they do not.

    `chosen_rewards`: of each step, beta times the nats that a chosen answer has gained over the reference.
    DPO asks for the margin alone, so both answers may fall, and what rises is something that nobody chose
    (Razin et al., 2024, https://arxiv.org/abs/2410.08847). Judged by the last third of the steps: a single
    one has few answers in it.
    """
    if recipe.method != "dpo" or len(chosen_rewards) < STEPS:
        return None
    nats = fmean(chosen_rewards[-(len(chosen_rewards) // 3) :]) / recipe.beta
    if nats > -FALL_NATS:
        return None
    if "sft" in recipe.losses:
        todo = "Give the sft term more weight in loss_weights, or lower learning_rate."
    else:
        losses, weights = ",".join(recipe.losses), ",".join(f"{one:g}" for one in recipe.loss_weights)
        todo = (
            "Try the sft term, which holds them up:"
            f" --set losses={losses},sft --set loss_weights={weights},0.1."
        )
    return f"The chosen answers themselves have become less likely, each by {-nats:.1f} nats. {todo}"
