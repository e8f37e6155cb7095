"""Prompt or retrain, for the models of this home: which was before, which answers, which prompt is best."""

from dataclasses import dataclass

from assistant import registry
from assistant.registry import ModelVersion
from feedback.errors import NotFoundError
from feedback.ids import PromptVersionId
from feedback.store import Store
from prompts import library, retrain, standings
from prompts.plain import ZERO_SHOT
from prompts.retrain import Contest, Report
from prompts.standings import People

NEVER_RETRAINED = "There has been one champion. Train a model: any candidate can be named as the new one."


@dataclass(frozen=True)
class Answer:
    """The report in words too. `report` None: there is nothing to compare."""

    report: Report | None
    said: str


def before(store: Store) -> ModelVersion | None:
    """The champion before the present one; None while there has been one alone."""
    left = registry.history(store)[0].from_version_id
    return registry.get(store, left) if left else None


def prompt_or_retrain(
    store: Store,
    old: str | None = None,
    new: str | None = None,
    best: str | None = None,
    people: People | None = None,
) -> Answer:
    """`old`, `new`: names or ids of model versions; `best`: a prompt version as `library.find` takes it.

    What is left out is chosen: as `new` the champion, as `old` the champion before it (of a candidate, the
    present one), as `best` what most surely beats zero-shot on `old`.
    """
    champion = registry.champion(store)
    latter = registry.get(store, new) if new else champion
    replaced = before(store) if latter.id == champion.id else champion
    former = registry.get(store, old) if old else replaced
    if former is None:
        return Answer(None, NEVER_RETRAINED)
    if former.id == latter.id:
        raise NotFoundError(f"{latter.name} cannot be compared with itself.", todo="Choose another model.")
    said = people or standings.read(store)
    plain = library.production(store, ZERO_SHOT).id
    chosen: PromptVersionId | None
    chosen = library.find(store, best).id if best else retrain.best_prompt(said, former.id, plain)
    found = retrain.report(said, Contest(former.id, latter.id, plain, chosen))
    return Answer(found, retrain.verdict(found))
