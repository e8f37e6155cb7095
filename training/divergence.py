"""A training that has lost its way: a loss or gradient that is no number any more. Knows no trainer."""

from collections.abc import Mapping
from math import isfinite

from feedback.errors import HoneError

WATCHED = ("loss", "grad_norm")


def check_finite(step: int, figures: Mapping[str, float], todo: str) -> None:
    """HoneError, with `todo`, when one of WATCHED among a step's figures is infinite or no number."""
    for name in WATCHED:
        if not isfinite(figures.get(name, 0.0)):
            raise HoneError(
                f"The {name} became {figures[name]} at step {step}.",
                "The learning rate is most likely too high for these data.",
                todo,
            )
