"""Ways of asking: from an evaluation's settings to what is kept with its measures, and back. Pure."""

from dataclasses import replace
from typing import cast

from prompts.evaluation.columns import By, Calibrate, How
from prompts.evaluation.shown import Choosing, Picking, Shown
from prompts.measures import Way
from prompts.strategy import Strategy


def way_of(how: How, strategy: Strategy, shown: Shown, *, by_likelihood: bool) -> Way:
    """How `strategy` is asked, with `shown` of it, once that is decided. What has no effect is left out."""
    examples = how.examples
    way = Way("likelihood", how.calibrate) if by_likelihood else Way(
        max_tokens=how.sampling.max_tokens, seed=how.sampling.seed)  # fmt: skip
    if shown.pools:
        return replace(
            way, examples="dataset", shots=examples.shots, choose=examples.choose, draw=examples.draw
        )
    return way if shown.strategy is strategy else replace(way, examples="none")


def how_of(way: Way, like: How) -> How:
    """The settings that ask so again; `like` gives those that had no effect."""
    shots = 0 if way.examples == "none" else way.shots
    sampling = like.sampling
    if way.max_tokens is not None:
        sampling = replace(sampling, max_tokens=way.max_tokens, seed=way.seed)
    # A training part would else take the place of the strategy's own.
    choose = "own" if way.examples == "own" else way.choose
    picking = Picking(shots, cast("Choosing | None", choose), way.draw)
    return How(cast(By, way.by), cast(Calibrate, way.calibrate), picking, sampling)


def written(name: str, way: Way, plain: Way) -> str:
    """A column for people, as a person would ask for it where `plain` is what they get without settings."""
    shots = 0 if way.examples == "none" else way.shots
    said = {"shots": shots, "choose": way.choose, "draw": way.draw or None}
    for setting in ("calibrate", "max_tokens", "seed"):
        ours = getattr(way, setting)
        said[setting] = ours if ours != getattr(plain, setting) else None
    settings = ",".join(f"{key}={value}" for key, value in said.items() if value is not None)
    return f"{name}:{settings}" if settings else name
