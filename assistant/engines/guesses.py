"""Prompt lookup: guesses at a reply's next tokens, and how many of them are worth their time.

A guess that is right saves a step; one that is wrong cost what a token more in a step costs. Both are
measured while replies are written: the first differs from text to text, the second from CPU to CPU, and not
in a straight line: without bfloat16 arithmetic two to four tokens took the time of one and a half, and eight
that of two and a half.
"""

from collections.abc import Sequence

NGRAMS = (4, 2)
"""So many tokens at a reply's end are looked for in what stands before; four are more often right."""
FIRST_CHANCE = {4: 0.8, 2: 0.4}
"""How likely a guess is held to be right before any was tried."""
FORGET_CHANCE = 0.1
MOST_GUESSES = 7
TRY_AGAIN_TOKENS = 24

FIRST_SHARE = 0.1
"""What one more token is held to cost, as a share of a step without, where nothing like it was measured."""
FORGET_COST = 0.3
DRIFT = 0.01
"""A cost that is not measured again goes back by this much a step to what it is held to be unmeasured."""


class StepCost:
    """How long steps with guesses take, against those without."""

    def __init__(self) -> None:
        self._plain: dict[int, float] = {}  # replies side by side -> seconds of a step without guesses
        self._ratios: dict[int, dict[int, float]] = {}  # replies -> guesses in all -> share of that time

    def seen(self, replies: int, guesses: int, seconds: float) -> None:
        """A step for `replies` with so many `guesses` in all, and no prompt to read, took `seconds`."""
        plain = self._plain.get(replies)
        if guesses == 0:
            self._plain[replies] = seconds if plain is None else _blend(plain, seconds, FORGET_COST)
        elif plain is not None:
            ratios = self._ratios.setdefault(replies, {})
            for count in ratios:
                ratios[count] = _blend(ratios[count], _unmeasured(count), DRIFT)
            ratio = min(1.0 + guesses, max(1.0, seconds / plain))
            ratios[guesses] = _blend(ratios.get(guesses, ratio), ratio, FORGET_COST)

    def ratio(self, replies: int, guesses: int) -> float:
        """The time of such a step over that of one without guesses."""
        ratios = self._ratios.get(replies, {})
        known = max((count for count in ratios if count <= guesses), default=0)
        return ratios.get(known, 1.0) + _unmeasured(guesses - known) - 1

    def costs(self, replies: int, given: int) -> list[float]:
        """For one of `replies`, when the others have `given` guesses: how many tokens of this reply a step
        with 0, 1, ... guesses of its own must bring, so that all get on as fast as without.
        """
        without = self.ratio(replies, given)
        return [
            1 + replies * (self.ratio(replies, given + count) / without - 1)
            for count in range(MOST_GUESSES + 1)
        ]


class Guesses:
    """For one reply: what followed its last tokens when they stood together before (after Saxena 2023,
    https://github.com/apoorvumang/prompt-lookup-decoding).
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        # For each length: tokens -> the place after them, the latest.
        self._after: dict[int, dict[tuple[int, ...], int]] = {length: {} for length in NGRAMS}
        self._chance = dict(FIRST_CHANCE)
        self._rest = dict.fromkeys(NGRAMS, 0)
        self._used = NGRAMS[0]
        for end in range(len(tokens)):
            self._learn(tokens, end)

    def learn(self, tokens: Sequence[int]) -> None:
        """A token was added: what stood before it now has a successor."""
        self._learn(tokens, len(tokens) - 1)

    def after(self, tokens: Sequence[int], costs: Sequence[float]) -> list[int]:
        """As many guesses as are worth it when a step with 0, 1, ... of them costs `costs`; perhaps none.
        Where none is, some are tried now and then: chance and cost may have changed.
        """
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

    def _learn(self, tokens: Sequence[int], end: int) -> None:
        for length in NGRAMS:
            if end >= length:
                self._after[length][tuple(tokens[end - length : end])] = end


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


def _unmeasured(guesses: int) -> float:
    return 1 + FIRST_SHARE * guesses


def _blend(before: float, seen: float, weight: float) -> float:
    return (1 - weight) * before + weight * seen
