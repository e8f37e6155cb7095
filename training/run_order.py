"""In which order a run trains on its rows, and which of its batches is the fullest: what `order` is for a
recipe. Knows no model: whoever has one says whether its batches are filled up.
"""

import math
from collections.abc import Sequence
from itertools import cycle, islice

from assistant.adapters.families import FAMILIES
from training.data import Row
from training.order import Arranged, LengthOrder, balanced, batches, share
from training.recipes import Recipe


def share_of(recipe: Recipe, processes: int) -> tuple[int, int]:
    """What one of so many processes takes of a step: its own batch, and how many. ValueError where the step
    cannot be divided.

    KTO's KL is a mean over one batch, which TRL takes over all that the processes compute at once: there each
    has its part of every batch, so that this is one batch and no more. Of a classifier's batch some processes
    may take one text less than others.
    """
    if recipe.method == "classify":
        return math.ceil(recipe.batch / processes), 1
    if recipe.method == "kto":
        own, _ = share(recipe.batch, 1, processes)
        return own, recipe.accumulation
    return share(recipe.batch, recipe.accumulation, processes)


def fills_up(recipe: Recipe) -> bool:
    """Whether what is trained needs batches filled up to one length, whatever the model:
    `training.shared_prompts` does not cover soft prompts, heads that are trained, and classifiers.
    """
    return recipe.method == "classify" or FAMILIES[recipe.adapt].kind in ("soft prompt", "full")


def by_length(rows: Sequence[Row], recipe: Recipe, *, padded: bool) -> LengthOrder:
    """Batches of like sums of lengths; where shorter rows are filled up, of like lengths."""
    whole = recipe.batch * recipe.accumulation
    return LengthOrder(_lengths(rows, padded), recipe.batch, recipe.seed, whole, _arranged(padded))


def grouped(rows: Sequence[Row], recipe: Recipe, *, padded: bool) -> list[Row]:
    """The rows such that each `batch` of them belong together, in every epoch. The last of these groups is
    filled from the beginning: a mean over fewer would be another, and could not be divided among processes.
    """
    found = _arranged(padded)(_lengths(rows, padded), recipe.batch, recipe.seed)
    whole = math.ceil(len(found) / recipe.batch) * recipe.batch
    return [rows[i] for i in islice(cycle(found), whole)]


def another(group: Sequence[Row], place: int) -> Row:
    """Whose answer KTO puts after this row's prompt: the one before it in its group. A group that is filled
    from few rows holds some of them twice; a row that is all there is has nobody's but its own.
    """
    before = (group[place - back] for back in range(1, len(group)))
    return next((row for row in before if row is not group[place]), group[place])


def fullest(rows: Sequence[Row], recipe: Recipe, size: int) -> list[Row]:
    """Of the batches of `size` that the run computes at once, the one with the most tokens. `size`: the
    recipe's, or of one process of several.
    """
    padded = fills_up(recipe)
    if recipe.method == "kto":
        orders = [grouped(rows, recipe, padded=padded)]
    else:
        order, orders = by_length(rows, recipe, padded=padded), []
        for epoch in range(max(1, math.ceil(recipe.epochs))):
            order.set_epoch(epoch)
            orders.append([rows[i] for i in order])
    parts = (found[at : at + size] for found in orders for at in range(0, len(found), size))
    return max(parts, key=lambda part: sum(row.read_tokens for row in part), default=[])


def _lengths(rows: Sequence[Row], padded: bool) -> list[int]:
    return [row.tokens if padded else row.read_tokens for row in rows]


def _arranged(padded: bool) -> Arranged:
    return batches if padded else balanced
