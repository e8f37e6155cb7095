"""In which order examples are trained on: like lengths side by side, so that little is padded; or, where
nothing is padded, long and short ones, so that no step needs more memory than another. Pure.

An order is seeded and made anew for each epoch, so that a resumed run meets the same one. It knows nothing of
processes: they take its batches in turn, so that a step holds the same examples however many there are.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice


def batches(lengths: Sequence[int], size: int, seed: int) -> list[int]:
    """An order of examples in which each run of `size` has like lengths, and the runs come in random order.

    Pure and seeded: a resumed run meets the same order. Ties are broken at random, so epochs differ.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    order.sort(key=lambda i: -lengths[i])
    runs = [order[i : i + size] for i in range(0, len(order), size)]
    chance.shuffle(runs)
    # A short run anywhere but last would shift the borders of all batches after it.
    runs.sort(key=lambda run: len(run) < size)
    return [i for run in runs for i in run]


def balanced(lengths: Sequence[int], size: int, seed: int) -> list[int]:
    """An order of examples in which each run of `size` has one of the longest, one of the next, and so on to
    one of the shortest: all runs have about as many tokens. Pure and seeded, as `batches`.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    runs = len(order) // size
    whole, rest = order[: runs * size], order[runs * size :]
    whole.sort(key=lambda i: -lengths[i])
    ranks = [whole[begin : begin + runs] for begin in range(0, len(whole), runs)] if runs else []
    for rank in ranks:
        chance.shuffle(rank)
    return [i for run in zip(*ranks, strict=True) for i in run] + rest


def share(batch: int, accumulation: int, processes: int) -> tuple[int, int]:
    """What one of so many processes takes of a step of `batch` x `accumulation`: its own batch, and how many.

    Whole batches while there are enough, so that each is computed as one process would; then parts of them.
    ValueError where the step cannot be divided.
    """
    whole = math.gcd(accumulation, processes)
    parts = processes // whole
    if batch % parts:
        raise ValueError(f"{batch} x {accumulation} examples cannot be divided among {processes}")
    return batch // parts, accumulation // whole


def _seed(seed: int, epoch: int) -> int:
    """Another one for each epoch, and never that of another seed's near epochs."""
    return seed * 1_000_003 + epoch


Arranged = Callable[[Sequence[int], int, int], list[int]]
"""`batches` or `balanced`."""


class LengthOrder:
    """A sampler: `arranged` anew for each epoch. Resuming needs no more state than the epoch's number.

    An epoch is a multiple of `whole` examples: its last step is filled from its own beginning. A short one
    would weigh its few examples as heavily as a whole step does, and could not be divided among processes.
    """

    def __init__(
        self, lengths: Sequence[int], size: int, seed: int, whole: int = 1, arranged: Arranged = batches
    ) -> None:
        self.lengths, self.size, self.seed, self.epoch = list(lengths), size, seed, 0
        self.arranged = arranged
        self.count = math.ceil(len(self.lengths) / whole) * whole

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        found = self.arranged(self.lengths, self.size, _seed(self.seed, self.epoch))
        return islice(cycle(found), self.count)


class GroupOrder:
    """A sampler of fixed groups: the first `size` examples, the next `size`, ..., in a new order each epoch.

    For what belongs together, as the answers of a KTO batch do, whose KL is measured on each other's prompts.
    An epoch is a multiple of `whole` groups, filled from its own beginning, as `LengthOrder`'s is.
    """

    def __init__(self, groups: int, size: int, seed: int, whole: int = 1) -> None:
        self.groups, self.size, self.seed, self.epoch = groups, size, seed, 0
        self.count = math.ceil(groups / whole) * whole

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * self.size

    def __iter__(self) -> Iterator[int]:
        found = list(range(self.groups))
        random.Random(_seed(self.seed, self.epoch)).shuffle(found)
        taken = islice(cycle(found), self.count)
        return iter([place for group in taken for place in range(group * self.size, (group + 1) * self.size)])
