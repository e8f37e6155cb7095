"""What a run needs of memory: estimated by formula beforehand, measured afterwards. Knows no store and no
page.
"""

from training.memory.devices import Device, named, this_machine
from training.memory.formulas import Estimate, Part, estimate
from training.memory.plan import Load, Plan, make, of_recipe, of_rows
from training.memory.refusal import refuse_if_too_big, sentence
from training.memory.shape import Shape, find

__all__ = [
    "Device", "Estimate", "Load", "Part", "Plan", "Shape", "estimate", "find", "make", "named", "of_recipe",
    "of_rows", "refuse_if_too_big", "sentence", "this_machine",
]  # fmt: skip
