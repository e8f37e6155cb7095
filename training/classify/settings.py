"""The settings of a classifier's training: each default once, and what is wrong with a value in words."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from feedback.errors import HoneError

Adapt = Literal["frozen", "lora", "full"]

RATES = {"frozen": 0.0, "lora": 3e-4, "full": 3e-5}
"""The highest rate where none is given; a frozen trunk needs none."""
POSITIVE = ("epochs", "batch", "max_length", "lora_rank", "lora_alpha")


@dataclass(frozen=True)
class Settings:
    """Everything that decides a classifier, apart from its data and the version it starts from.

    `wording`: `auto`, a name or a template, see `wording.chosen`. `learning_rate` 0: as `RATES` has it.
    `calibration_share`: of the training data, by label. `max_length` in tokens, the wording included.
    """

    adapt: Adapt = "lora"
    wording: str = "auto"
    epochs: int = 2
    learning_rate: float = 0.0
    batch: int = 16
    calibration_share: float = 0.15
    lora_rank: int = 16
    lora_alpha: int = 32
    max_length: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        complaints = [f"{name} must be above 0." for name in POSITIVE if getattr(self, name) <= 0]
        if self.adapt not in get_args(Adapt):
            complaints.append(f"adapt must be one of {', '.join(get_args(Adapt))}, not {self.adapt!r}.")
        if not 0 < self.calibration_share < 1:
            complaints.append("calibration_share must lie between 0 and 1.")
        if self.learning_rate < 0:
            complaints.append("learning_rate must be 0 (the default of the way) or more.")
        for complaint in complaints:
            raise HoneError("These settings cannot be used.", complaint, "Correct that and try again.")

    @property
    def rate(self) -> float:
        return self.learning_rate or RATES[self.adapt]


NAMES = tuple(field.name for field in fields(Settings))
