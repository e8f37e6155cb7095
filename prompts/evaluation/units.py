"""In what scores are counted, and how people read them: shares of right answers, or nats of reward. Pure."""

from dataclasses import dataclass

from feedback.statistics import Interval


@dataclass(frozen=True)
class Unit:
    """What a score is a number of.

    `name`: for programs. `heading`: over scores and their means. `ends`: the least and the most that a score
    can be; None where it has no bounds. `number`, `short`: how one is written, and at a glance. `step`: what
    differences are counted in, `steps` of them in 1, each written as `change`. `above`, `below`: what a
    column is against another whose scores are surely lower, higher; `up`, `down`: the same of one item.
    """

    name: str
    heading: str
    ends: tuple[float, float] | None
    number: str
    short: str
    step: str
    steps: float
    change: str
    above: str
    below: str
    up: str
    down: str

    def written(self, value: float) -> str:
        return format(value, self.number)

    def glance(self, value: float) -> str:
        return format(value, self.short)

    def span(self, found: Interval) -> str:
        """The ends of an interval. A dash would read as a minus where numbers have signs."""
        return f"{self.written(found.low)}{'-' if self.ends else ' to '}{self.written(found.high)}"

    def difference(self, found: Interval) -> str:
        """A difference of two means with its interval."""
        value, low, high = (
            format(one * self.steps, self.change) for one in (found.value, found.low, found.high)
        )
        return f"{value} {self.step} ({low} to {high})"


SHARE = Unit(
    "share", "right", (0.0, 1.0), ".3f", ".1%", "points", 100.0, "+.1f",
    "is better than", "is worse than", "better", "worse",
)  # fmt: skip
"""Right or wrong, 1 or 0, or in between: means are shares of right answers."""

NATS = Unit(
    "nats", "reward", None, "+.3f", "+.2f", "nats", 1.0, "+.3f",
    "is rewarded more than", "is rewarded less than", "higher", "lower",
)  # fmt: skip
"""A reward: any number. Of two answers to one question whose rewards differ by d, people are thought to
prefer the higher with probability sigmoid(d) (Bradley and Terry, 1952)."""
