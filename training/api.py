"""Hone's API for operators: data, runs, the gate, promotion, classifiers. Thin: each handler calls its room.

`app.py` hands the router to the server, which knows nothing of training. Every handler checks the role.
"""

from dataclasses import dataclass
from typing import Annotated, get_args

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import Field, StringConstraints

from assistant import registry
from assistant.api.bodies import Body, example
from assistant.api.context import Operator, Parts
from assistant.base import BaseChoice
from feedback import datasets, snapshots
from feedback.datasets import Kind
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import UserId
from feedback.snapshots import Snapshot
from feedback.store import Store
from prompts import library
from prompts.plain import ZERO_SHOT
from training import evaluating, gate, promotion, recipes, repeats, runs
from training.answers import (
    LatestJob,
    ListedClassifiers,
    ListedDatasets,
    ListedModels,
    ListedRuns,
    ListedSnapshots,
    Promoted,
    ReadGate,
    ReadRun,
    ReadSnapshot,
    RolledBack,
    RunLog,
)
from training.classify import begin
from training.classify import heads as classifiers
from training.jobs import Jobs
from training.methods import METHODS
from training.recipes import Recipe
from training.runs import Run

SERVED_BASE = ("model", "quantize")
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


@dataclass(frozen=True)
class Shop:
    """What operators work with beside the rooms. `jobs` is shared with the operator page: one at a time."""

    home: Home
    choice: BaseChoice
    jobs: Jobs


class NewRun(Body):
    """`recipe`: a shipped one. `settings`: what shall differ from it. `data`: in place of a snapshot, the id
    of a dataset, or `latest`. Of a classifier alone: `test`, the dataset that it is measured on, and `start`,
    the model version that it starts from (default: the base).
    """

    model_config = example(snapshot="s_0a1b2c3d4e5f", recipe="dpo", settings={"epochs": 1})

    snapshot: Name = "latest"
    data: Name | None = None
    test: Name | None = None
    start: Name | None = None
    recipe: Name = "dpo"
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)


class NewPromotion(Body):
    """`override`: why, where the gate has not passed it."""

    model_config = example(candidate="dpo-1")

    candidate: Name
    override: Annotated[str, StringConstraints(max_length=2000)] | None = None


def router(shop: Shop) -> APIRouter:
    """Routes under /api, for operators."""
    made = APIRouter(prefix="/api", tags=["Operator"])
    for part in (_snapshots(), _datasets(), _runs(shop), _gate(shop), _models(shop), _classifiers(shop)):
        made.include_router(part)
    return made


def _snapshots() -> APIRouter:
    made = APIRouter()

    @made.post("/snapshots", status_code=201)
    def create(parts: Parts, user: Operator) -> Snapshot:
        """Freeze the pairs that the votes give now."""
        champion, zero_shot = registry.champion(parts.store), library.production(parts.store, ZERO_SHOT)
        return snapshots.freeze(parts.store, user.id, champion.chat_template_sha256, zero_shot.id)

    @made.get("/snapshots")
    def listing(parts: Parts, user: Operator) -> ListedSnapshots:
        """All snapshots, newest first."""
        return ListedSnapshots(snapshots.listing(parts.store))

    @made.get("/snapshots/{snapshot_id}")
    def read(parts: Parts, user: Operator, snapshot_id: str) -> ReadSnapshot:
        """One snapshot (its id, the start of it, or `latest`) with all its pairs."""
        found = snapshots.get(parts.store, snapshot_id)
        return ReadSnapshot(**vars(snapshots.pairs(parts.store, found.id)), snapshot=found)

    return made


def _datasets() -> APIRouter:
    made = APIRouter()

    @made.get("/datasets")
    def listing(parts: Parts, user: Operator) -> ListedDatasets:
        """All datasets that runs can train on beside votes, newest first."""
        return ListedDatasets(datasets.listing(parts.store))

    return made


def _runs(shop: Shop) -> APIRouter:
    made = APIRouter()

    @made.post("/runs", status_code=201)
    def start(parts: Parts, user: Operator, body: NewRun) -> ReadRun:
        """Train on a snapshot or a dataset, in a process of its own; queued while another run trains."""
        return _run(shop, parts.store, runs.start(shop.home, _queued(shop, parts.store, user.id, body).id))

    @made.get("/runs")
    def listing(parts: Parts, user: Operator) -> ListedRuns:
        """All runs, newest first."""
        runs.sweep(parts.store)
        return ListedRuns(runs.listing(parts.store))

    @made.get("/runs/{run_id}")
    def read(parts: Parts, user: Operator, run_id: str) -> ReadRun:
        """One run (its id, the start of it, or `latest`), its curves, and the gate's report or classifier."""
        runs.sweep(parts.store)
        return _run(shop, parts.store, runs.get(parts.store, run_id))

    @made.get("/runs/{run_id}/log")
    def log(parts: Parts, user: Operator, run_id: str) -> RunLog:
        """The end of a run's log."""
        run = runs.get(parts.store, run_id)
        return RunLog(run.id, runs.log_text(shop.home, run.id))

    @made.post("/runs/{run_id}/cancel")
    def cancel(parts: Parts, user: Operator, run_id: str) -> ReadRun:
        """End a run within seconds; its checkpoints stay."""
        return _run(shop, parts.store, runs.cancel(parts.store, user.id, runs.get(parts.store, run_id).id))

    @made.post("/runs/{run_id}/resume")
    def resume(parts: Parts, user: Operator, run_id: str) -> ReadRun:
        """Go on with a run that ended early, from its last complete checkpoint."""
        run = runs.get(parts.store, run_id)
        return _run(shop, parts.store, runs.resume(shop.home, parts.store, user.id, run.id))

    @made.post("/runs/{run_id}/repeat", status_code=201)
    def repeat(parts: Parts, user: Operator, run_id: str) -> ReadRun:
        """Train once more with a run's recipe, data and start; `repetition` then says if all is the same."""
        run = repeats.create(parts.store, shop.home, user.id, runs.get(parts.store, run_id).id)
        return _run(shop, parts.store, runs.start(shop.home, run.id))

    return made


def _gate(shop: Shop) -> APIRouter:
    made = APIRouter()

    @made.post("/gate/{candidate}", status_code=202)
    def evaluate(parts: Parts, user: Operator, candidate: str) -> LatestJob:
        """Measure a candidate (name or id) against the champion, in the background: see /api/job."""
        evaluating.start(parts.store, parts.turns.engine, shop.jobs, candidate)
        return LatestJob(shop.jobs.latest)

    @made.get("/gate/{candidate}")
    def report(parts: Parts, user: Operator, candidate: str) -> ReadGate:
        """The newest report on a candidate: the verdict, each check, and what it rests on."""
        version = registry.get(parts.store, candidate)
        found = gate.report(parts.store, version.id)
        if found is None:
            raise NotFoundError(
                f"The gate has not judged {version.name}.", todo=f"POST /api/gate/{version.name} begins it."
            )
        return ReadGate(version.name, found)

    @made.get("/job")
    def job(parts: Parts, user: Operator) -> LatestJob:
        """What the server is doing for operators now, or did last."""
        return LatestJob(shop.jobs.latest)

    @made.delete("/job")
    def stop(parts: Parts, user: Operator) -> LatestJob:
        """Ask that work to end at its next step."""
        shop.jobs.stop()
        return LatestJob(shop.jobs.latest)

    return made


def _models(shop: Shop) -> APIRouter:
    made = APIRouter()

    @made.get("/models")
    def listing(parts: Parts, user: Operator) -> ListedModels:
        """Every model version, the champion, and every move of the champion, the latest first."""
        return ListedModels(
            registry.champion(parts.store).name,
            versions=registry.listing(parts.store),
            promotions=registry.history(parts.store),
        )

    @made.post("/promotions", status_code=201)
    def promote(parts: Parts, user: Operator, body: NewPromotion) -> Promoted:
        """Make a candidate (name or id) the champion: a pass of the gate, or a typed reason."""
        with promotion.made_ready(parts.turns.engine, parts.store, body.candidate):
            moved = promotion.promote(parts.store, shop.home, user.id, body.candidate, body.override)
        return Promoted(moved.after.name, moved.before.name, moved.override)

    @made.post("/promotions/rollback", status_code=201)
    def roll_back(parts: Parts, user: Operator) -> RolledBack:
        """Give the word back to the champion before this one."""
        before = promotion.previous(parts.store) or registry.champion(parts.store)
        with promotion.made_ready(parts.turns.engine, parts.store, before.id):
            moved = promotion.roll_back(parts.store, shop.home, user.id)
        return RolledBack(moved.after.name, moved.before.name)

    return made


def _classifiers(shop: Shop) -> APIRouter:
    made = APIRouter()

    @made.get("/classifiers")
    def listing(parts: Parts, user: Operator) -> ListedClassifiers:
        """All classifiers, newest first, each as its manifest says."""
        return ListedClassifiers(classifiers.listing(shop.home)[::-1])

    @made.get("/classifiers/{name}/report", response_class=HTMLResponse)
    def report(parts: Parts, user: Operator, name: str) -> HTMLResponse:
        """The report of a classifier (its name, id, or `latest`), as a page."""
        return HTMLResponse(classifiers.report(shop.home, classifiers.find(shop.home, name)))

    return made


def _recipe(shop: Shop, body: NewRun) -> Recipe:
    """A shipped recipe with the settings asked for, on the base that this server runs."""
    if body.recipe not in recipes.presets():
        raise NotFoundError(
            f"There is no recipe {body.recipe}.", todo=f"Choose from: {', '.join(recipes.presets())}."
        )
    if fixed := [key for key in SERVED_BASE if key in body.settings]:
        raise HoneError(
            f"The setting {fixed[0]} cannot be chosen here.",
            "A run started here trains on the base that this server runs.",
            "Leave it out.",
        )
    served = shop.choice.weights
    recipe = recipes.from_mapping(body.settings | served, recipes.presets()[body.recipe])
    recipes.check_read(recipe)
    return recipe


def _queued(shop: Shop, store: Store, user_id: UserId, body: NewRun) -> Run:
    recipe = _recipe(shop, body)
    if METHODS[recipe.method].makes == "classifier":
        data = datasets.find(store, body.data or "latest", METHODS[recipe.method].reads)
        return begin.create(store, shop.home, user_id, recipe, begin.Wanted(data.id, body.test, body.start))
    if body.test is not None or body.start is not None:
        raise HoneError(
            f"{recipe.method} takes neither test nor start.",
            "A run starts from the champion, and its own data hold out what it is measured on.",
            "Leave them out.",
        )
    return runs.create(store, user_id, recipe, _source(store, recipe, body))


def _source(store: Store, recipe: Recipe, body: NewRun) -> str:
    """The id of the snapshot or the dataset that is asked for."""
    if body.data is None:
        return snapshots.get(store, body.snapshot).id
    if "snapshot" in body.model_fields_set:
        raise HoneError("A run learns from a snapshot or a dataset, not from both.", todo="Name one of them.")
    if (reads := METHODS[recipe.method].reads) not in get_args(Kind):
        raise HoneError(
            f"{recipe.method} does not learn from a dataset.",
            f"It learns from {reads}.",
            "Choose a recipe for sft, clm or classify.",
        )
    return datasets.find(store, body.data, reads).id


def _run(shop: Shop, store: Store, run: Run) -> ReadRun:
    return ReadRun(
        run,
        metrics=runs.metrics(store, run.id),
        gate=gate.report(store, run.candidate_id) if run.candidate_id else None,
        classifier=classifiers.of_run(shop.home, run.id),
        repetition=repeats.as_data(repeats.compare(store, shop.home, run)),
    )
