"""The curves of a run: which of its figures are drawn, under which title. Knows no store and no page."""

from collections.abc import Sequence

from feedback import pictures
from feedback.errors import HoneError
from feedback.plots import Curve
from training.methods import METHODS
from training.runs import MetricPoint, Run

TITLES = {
    "loss": ("Loss", None),
    "margin": ("Margin, chosen over rejected", 0.0),
    "accuracy": ("Share of pairs ordered right", 0.5),
    "chosen_reward": ("Gain of chosen answers, beta x nats", 0.0),
    "token_accuracy": ("Share of tokens guessed right", None),
    "reward": ("Mean reward of its answers", None),
    "kl": ("KL to where it started, nats", 0.0),
    "answer_tokens": ("Tokens in an answer", None),
    "calibration_loss": ("Loss on the calibration part, nats", None),
    "calibration_accuracy": ("Share of the calibration part put right", None),
    "judge": ("Judge: nats gained on votes kept for it", 0.0),
}
"""The metrics shown, in this order, with their titles and the level that means: nothing learnt."""

COMPARED = 4
"""Runs drawn beside one: as many as have a colour of their own."""

Figures = tuple[Run, Sequence[MetricPoint]]


def of_run(run: Run, points: Sequence[MetricPoint], beside: Sequence[Figures] = ()) -> list[Curve]:
    """What its method tells of each step, where there are figures, over the same of the runs `beside`."""
    return [
        Curve(title, own, run.total_steps, level, [series(others, name) for _, others in beside])
        for name, (title, level) in TITLES.items()
        if name in METHODS[run.method].shows and (own := series(points, name))
    ]


def series(points: Sequence[MetricPoint], name: str) -> list[tuple[float, float]]:
    return [(point.step, point.value) for point in points if point.name == name]


def name_of(run: Run) -> str:
    return f"{run.recipe.name} {run.id}"


def picture(found: Sequence[Figures]) -> str:
    """SVG of the first run's curves over those of the others. HoneError for too many, or none to draw."""
    (run, points), *beside = found
    if len(beside) > COMPARED:
        raise HoneError(
            f"{len(found)} runs are too many for one picture.",
            f"There are colours for {COMPARED + 1}.",
            "Name fewer, or end the file in .csv.",
        )
    drawn = of_run(run, points, beside)
    if not drawn:
        raise HoneError(f"The run {run.id} has no curve.", "", "Wait for its first step.")
    return pictures.curves(drawn, [name_of(run) for run, _ in found] if beside else ())
