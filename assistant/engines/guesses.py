"""Prompt lookup: guesses at a reply's next tokens, and how many of them are worth their time.

A guess that is right saves a step; one that is wrong cost what a token more in a step costs. The first is
learnt from the reply itself, the second is given: were it measured while replies are written, what else the
machine does would decide which tokens are computed together, and so how they are rounded, and the same
request with the same seed would not give the same reply.
"""

from collections.abc import Sequence
from dataclasses import dataclass

NGRAMS = (4, 2)
"""So many tokens at a reply's end are looked for in what stands before; four are more often right."""
FIRST_CHANCE = {4: 0.8, 2: 0.4}
"""How likely a guess is held to be right before any was tried."""
FORGET_CHANCE = 0.1
MOST_GUESSES = 7
TRY_AGAIN_TOKENS = 24


@dataclass(frozen=True)
class StepCost:
    """What guesses add to a step, as shares of the time of one without: `token` for each, `unpacking` for
    each 1,000 tokens that stand before them, whose keys and values the attention unpacks for them.
    """

    token: float
    unpacking: float

    def costs(self, known: int, replies: int, given: int) -> list[float]:
        """For one of `replies` that has `known` tokens, when the others have `given` guesses: how many tokens
        of this reply a step with 0, 1, ... guesses of its own must bring, so that all get on as fast as
        without.
        """
        without = 1 + self.token * given
        own = self.unpacking * known / 1000
        more = [0.0, *(own + self.token * count for count in range(1, MOST_GUESSES + 1))]
        return [1 + replies * share / without for share in more]


SIXTEEN_BITS = StepCost(token=0.03, unpacking=0.3)
"""Where the CPU has arithmetic for bfloat16: 1 guess after 20, 300 and 600 tokens took 1.04, 1.2 and 1.3
times a step without, 7 took 1.1 to 1.3, 1.6 and 1.6. A little less than that gave the most tokens a second.
About the same with AMX, where the graph is computed in float32: 1.0, 1.2, 1.3; 1.3 to 1.6, 1.4, 1.5.
"""
THIRTY_TWO_BITS = StepCost(token=0.2, unpacking=0.5)
"""Where it does not: 1 to 3 guesses took one and a half times a step without, 7 two and a half times."""


class Guesses:
    """For one reply: what followed its last tokens when they stood together before (after Saxena 2023,
    https://github.com/apoorvumang/prompt-lookup-decoding).
    """

    def __init__(self) -> None:
        # For each length: tokens -> the place after them, the latest.
        self._after: dict[int, dict[tuple[int, ...], int]] = {length: {} for length in NGRAMS}
        self._seen = 0
        self._chance = dict(FIRST_CHANCE)
        self._rest = dict.fromkeys(NGRAMS, 0)
        self._used = NGRAMS[0]

    def after(self, tokens: Sequence[int], costs: Sequence[float]) -> list[int]:
        """As many guesses as are worth it when a step with 0, 1, ... of them costs `costs`; perhaps none.
        Where none is, some are tried now and then: chance and cost may have changed. `tokens`: the whole
        reply with its prompt, each time the last ones and more.
        """
        self._look_through(tokens)
        for length in NGRAMS:
            self._rest[length] = max(0, self._rest[length] - 1)
            place = self._after[length].get(tuple(tokens[-length:]))
            if place is None or self._rest[length]:
                continue
            count = worthwhile(self._chance[length], costs)
            if count == 0:
                self._rest[length] = TRY_AGAIN_TOKENS
                count = worthwhile(self._chance[length], costs, fewest=1)
            self._used = length
            return list(tokens[place : place + count])
        return []

    def judge(self, right: int, guessed: int) -> None:
        """So many of the guesses were right; the first that was not is the last that says anything."""
        for place in range(min(right + 1, guessed)):
            chance = self._chance[self._used]
            self._chance[self._used] = _blend(chance, float(place < right), FORGET_CHANCE)

    def _look_through(self, tokens: Sequence[int]) -> None:
        """Only now: 1,500 tokens take 2 ms, by which the first token would be later, and who is never asked
        needs none of it.
        """
        for end in range(self._seen, len(tokens)):
            for length in NGRAMS:
                if end >= length:
                    self._after[length][tuple(tokens[end - length : end])] = end
        self._seen = len(tokens)


def worthwhile(chance: float, costs: Sequence[float], fewest: int = 0) -> int:
    """How many guesses, `fewest` at least, give the most tokens a second, where each is right with `chance`
    once those before it were, and a step with 0, 1, ... guesses costs `costs` (after Leviathan et al. 2023,
    https://arxiv.org/abs/2211.17192, section 3.3).
    """
    tokens, speeds = 0.0, []
    for count, cost in enumerate(costs):
        tokens += chance**count
        speeds.append(tokens / cost)
    return max(range(fewest, len(costs)), key=lambda count: speeds[count])


def _blend(before: float, seen: float, weight: float) -> float:
    return (1 - weight) * before + weight * seen
