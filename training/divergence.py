"""A training that has lost its way: a loss or gradient that is no number any more, a loss that climbs, chosen
answers that fall. Knows no trainer.
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
CLIMB = 0.5
"""A loss has climbed when it is up by this share of the highest of the first losses."""
TOO_FAST = "The learning rate is most likely too high for these data."


def no_number(step: int, figures: Mapping[str, float]) -> str | None:
    """Which of WATCHED among a step's figures is infinite or no number, in a sentence; None where none is."""
    for name in WATCHED:
        if not isfinite(figures.get(name, 0.0)):
            return f"The {name} became {figures[name]} at step {step}."
    return None


def check_finite(step: int, figures: Mapping[str, float], todo: str) -> None:
    """HoneError, with `todo`, when one of WATCHED among a step's figures is infinite or no number."""
    if (why := no_number(step, figures)) is not None:
        raise HoneError(why, TOO_FAST, todo)


def climbing(losses: Sequence[float]) -> str | None:
    """What to say of losses, one a step, of which each of the last STEPS lies far above every one of the
    lowest STEPS before; None where they do not, or are fewer than three times as many.

    Where nothing changes, nine losses lie above nine others with a chance of 1 / C(18, 9) = 1 / 48,620. But
    the lowest nine are picked among many, and DPO's losses all begin at log 2 and then spread: so far above
    is by CLIMB of where they began.
    """
    if len(losses) < 3 * STEPS:
        return None
    before, last = losses[:-STEPS], losses[-STEPS:]
    begun = max(losses[:STEPS])
    calm = min(max(before[at : at + STEPS]) for at in range(0, len(before) - STEPS + 1, STEPS))
    if min(last) <= calm + CLIMB * abs(begun):
        return None
    return (
        f"The loss climbs: each of the {STEPS} steps up to step {len(losses)} had {min(last):.3g} or more,"
        f" after {calm:.3g} or less."
    )


def slower(recipe: Recipe) -> str:
    """What to try after a run whose steps were too long."""
    return (
        f"Start a new run with a lower learning_rate (this one had {recipe.learning_rate:.3g}; try --set"
        f" learning_rate={recipe.learning_rate / 3:.2g}), a longer warmup_share or a lower max_grad_norm."
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
