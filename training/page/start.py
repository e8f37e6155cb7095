"""The operator page, Train: start a run. What it learns from, by which preset, what that needs, and the list
of runs.
"""

from collections.abc import Sequence
from typing import Any, get_args

import gradio as gr

from feedback import datasets, snapshots
from feedback import parts as html
from feedback.datasets import Dataset, Kind
from feedback.errors import HoneError
from feedback.snapshots import Snapshot
from feedback.store import Store
from training import recipes, runs
from training.classify import begin
from training.methods import METHODS
from training.page.data import pairs_of
from training.page.desk import Desk, Part, Person, button, chosen, say, shown
from training.page.needs import needs_html
from training.recipes import Recipe
from training.runs import Run

VOTES, DATASET = "Votes", "A dataset"
USUAL = ("dpo", "sft", "classify")
"""Presets that come first, and are chosen where another cannot stay."""
KNOBS = ("epochs", "learning_rate", "max_steps", "seed", "metrics")
NO_SNAPSHOT = "There is no snapshot yet: freeze one under Data."
NO_DATASET = "There is no dataset yet."
NO_TEST = "none"
"""Stands for no test data in the list."""


def build(desk: Desk) -> tuple[Part, Any, gr.Dropdown]:
    """Lay the part out in the current column. Returns it, the event after which a run was started, and the
    list of runs.
    """
    first = recipes.load(USUAL[0])
    learn = gr.Radio([VOTES, DATASET], value=VOTES, label="Learn from", elem_id="op-learn")
    snapshot = gr.Dropdown([], label="Snapshot", elem_id="op-snapshot")
    dataset = gr.Dropdown([], label="Dataset", visible=False, elem_id="op-dataset")
    test = gr.Dropdown([], label="Measure on", visible=False, elem_id="op-test")
    nothing = gr.HTML(no_dataset_html(), visible=False, padding=False)
    preset = gr.Dropdown(presets_for(VOTES, None), value=USUAL[0], label="Preset", elem_id="op-preset")
    about = gr.HTML(html.note(first.description), padding=False)
    needs = gr.HTML(padding=False)
    knobs = _settings(first)
    with gr.Row(elem_classes="hone-actions"):
        start = gr.Button("Start run", variant="primary", scale=0, elem_id="op-start")
        why_not = gr.HTML(padding=False)
    picker = gr.Dropdown([], label="Runs", elem_id="op-run")

    def choose(person: Person, name: str) -> tuple[object, ...]:
        recipe = recipes.load(name)
        values = [getattr(recipe, knob) for knob in KNOBS]
        return html.note(recipe.description), *values, needs_html(desk.home, desk.choice, recipe)

    shows = [about, *knobs, needs]
    preset.change(desk.handler(choose), preset, shows, queue=False, show_progress="hidden")

    def act(person: Person, source: str, *given: Any) -> object:
        snapshot_id, dataset_id, test_id, name, *values = given
        recipe = recipes.from_mapping(
            dict(zip(KNOBS, values, strict=True)) | desk.choice.weights, recipes.load(name)
        )
        source_id = named(snapshot_id, NO_SNAPSHOT) if source == VOTES else named(dataset_id, NO_DATASET)
        return begun(desk, queued(desk, person, recipe, source_id, test_id))

    chosen_here = [learn, snapshot, dataset, test, preset]
    started = start.click(desk.handler(act), [*chosen_here, *knobs], picker)

    def draw(person: Person, source: str, *given: str | None) -> tuple[object, ...]:
        return drawn(desk, source, *given)

    outputs = [snapshot, dataset, test, nothing, preset, start, why_not, picker, needs]
    touched = [learn.input, dataset.input]
    return Part([*chosen_here, picker], outputs, draw, touched=touched), started, picker


def _settings(first: recipes.Recipe) -> list[gr.components.Component]:
    """The knobs that most runs need, folded away."""
    with gr.Accordion("Settings", open=False, elem_id="op-settings"):
        with gr.Row():
            epochs = gr.Number(first.epochs, label="Epochs", minimum=0, min_width=120)
            rate = gr.Number(first.learning_rate, label="Learning rate", minimum=0, min_width=120)
        with gr.Row():
            steps = gr.Number(
                0, label="Most steps (0: all)", precision=0, minimum=0, min_width=120, elem_id="op-steps"
            )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=120)
        copied = gr.Dropdown(
            list(recipes.METRICS), value=first.metrics, label="Copy the curves to", elem_id="op-metrics"
        )
    return [epochs, rate, steps, seed, copied]


def drawn(
    desk: Desk,
    source: str,
    snapshot_id: str | None,
    dataset_id: str | None,
    *rest: str | None,
) -> tuple[object, ...]:
    """The form as it is with what is chosen: the presets are those that learn from it."""
    test_id, name, run_id = rest
    runs.sweep(desk.store)
    frozen, kept = snapshots.listing(desk.store), datasets.listing(desk.store)
    one = next((each for each in kept if each.id == dataset_id), next(iter(kept), None))
    presets, by_votes = presets_for(source, one), source == VOTES
    preset = name if name in presets else presets[0]
    why_not = NO_SNAPSHOT if by_votes and not frozen else NO_DATASET if not by_votes and not kept else ""
    return (
        shown_with(chosen(snapshot_choices(frozen), snapshot_id), by_votes),
        shown_with(chosen(dataset_choices(kept), dataset_id), not by_votes and bool(kept)),
        shown_with(chosen(test_choices(kept, one), test_id, NO_TEST), not by_votes and has_labels(one)),
        shown(not by_votes and not kept),
        chosen([(each, each) for each in presets], name, preset),
        button(not why_not),
        html.note(why_not),
        chosen(run_choices(desk.store), run_id),
        needs_html(desk.home, desk.choice, recipes.load(preset)),
    )


def queued(desk: Desk, person: Person, recipe: Recipe, source_id: str, test_id: str | None) -> Run:
    """A run of what is chosen. A classifier starts from the base, anything else from the champion."""
    if METHODS[recipe.method].makes == "classifier":
        wanted = begin.Wanted(source_id, None if test_id == NO_TEST else test_id)
        return begin.create(desk.store, desk.home, person.id, recipe, wanted)
    return runs.create(desk.store, person.id, recipe, source_id)


def presets_for(source: str, dataset: Dataset | None) -> list[str]:
    """Names of the presets that learn from it, the most usual first."""
    known = {name: METHODS[one.method].reads for name, one in recipes.presets().items()}
    if source == VOTES:
        found = [name for name, reads in known.items() if reads not in ("text", "labels")]
    else:
        kinds = get_args(Kind) if dataset is None else (dataset.kind,)
        found = [name for name, reads in known.items() if reads in kinds]
    return [name for name in USUAL if name in found] + [name for name in found if name not in USUAL]


def shown_with(update: Any, visible: bool) -> Any:
    """A dropdown's update, with whether it is there."""
    return update | {"visible": visible}


def snapshot_choices(known: Sequence[Snapshot]) -> list[tuple[str, str]]:
    return [(f"{one.id}: {pairs_of(one)}", one.id) for one in known]


def dataset_choices(known: Sequence[Dataset]) -> list[tuple[str, str]]:
    """Datasets for the list; the name comes last, for it may be long."""
    return [(f"{one.id}: {rows_of(one)}, {one.name}", one.id) for one in known]


def has_labels(dataset: Dataset | None) -> bool:
    return dataset is not None and dataset.kind == begin.KIND


def test_choices(known: Sequence[Dataset], learnt: Dataset | None) -> list[tuple[str, str]]:
    """What a classifier may be measured on: other labelled texts, or the part that chooses for it."""
    others = [one for one in known if has_labels(one) and one != learnt]
    return [("the calibration part, which flatters", NO_TEST), *dataset_choices(others)]


def rows_of(dataset: Dataset) -> str:
    return html.plural(dataset.rows, "answer" if dataset.kind == "answers" else "text")


def no_dataset_html() -> html.Markup:
    todo = "Make one in a terminal where the server runs, of questions with answers or of texts with labels:"
    return html.empty(NO_DATASET, todo, "hone data instruct FILE --task sentiment", "hone data labels FILE")


def named(source_id: str | None, why_not: str) -> str:
    """The id of what is chosen. HoneError for none."""
    if not source_id:
        raise HoneError(why_not)
    return source_id


def begun(desk: Desk, run: Run) -> Any:
    """Start a run that was made just now; returns the update of the list of runs, in which it is chosen."""
    run = runs.start(desk.home, run.id)
    what = f"{run.id} repeats {run.repeats_id}, and" if run.repeats_id else run.id
    say(f"{what} is {run.state}. You may close this page; the run goes on.")
    return gr.update(choices=run_choices(desk.store), value=run.id)


def run_choices(store: Store) -> list[tuple[str, str]]:
    """Runs for the list, newest first."""
    return [
        (f"{run.recipe.name}, {run.created_at[:16].replace('T', ' ')}, {run.id}", run.id)
        for run in runs.listing(store)
    ]
