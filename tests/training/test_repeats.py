"""Runs that are done once more, what is said of whether their numbers are the same, and figures in files."""

import csv
import dataclasses
import json
import shutil

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from assistant import registry
from assistant.base import Base
from feedback import datasets
from feedback.command_line import HoneGroup
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import now
from tests import tiny_models, training_ground
from tests.training_ground import Ground, finished
from training import commands, heads, repeats, runs
from training.curves import COMPARED
from training.page.train import repeat_html
from training.runs import Run


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def trained(on: Ground, **changes: object) -> Run:
    """A run that is done."""
    recipe = dataclasses.replace(on.recipe, **changes)
    run = finished(on, runs.start(on.home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id))
    assert run.state == "done", runs.log_text(on.home, run.id)
    return run


def hone(on: Ground, *words: str) -> Result:
    group = HoneGroup("hone", commands={"runs": commands.runs_group})
    return CliRunner().invoke(group, ["runs", *words, "--home", str(on.home.path)])


def curves(on: Ground, run: Run, name: str) -> list[float]:
    return [point.value for point in runs.metrics(on.store, run.id, [name])]


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_repetition_has_the_same_losses_and_the_same_weights_wherever_the_champion_is(
    on: Ground, method: str
) -> None:
    first = trained(on, method=method, seed=3)
    registry.move_champion(on.store, on.home, LOCAL_USER, first.candidate_id, "promote")
    told = hone(on, "repeat", first.id)
    assert told.exit_code == 0, told.output
    assert f"It repeats {first.id} exactly: all" in told.stdout
    again = runs.get(on.store, "latest")
    assert (again.repeats_id, again.recipe) == (first.id, first.recipe)
    assert (again.snapshot_id, again.base_version_id) == (on.snapshot.id, on.champion.id)
    losses = curves(on, first, "loss")
    assert len(losses) == first.total_steps
    assert curves(on, again, "loss") == losses
    one, other = (registry.get(on.store, run.candidate_id) for run in (first, again))
    assert one.adapter_sha256 == other.adapter_sha256
    shown = json.loads(hone(on, "show", again.id, "--json").stdout)
    assert shown["run"]["repeats_id"] == first.id
    assert (shown["repetition"]["same"], shown["repetition"]["weights_apart"]) == (True, 0.0)


def done(on: Ground, losses: list[float], strength: float = 0.5, **changes: object) -> Run:
    """A run as it stands when it is done, with weights of this strength."""
    recipe = dataclasses.replace(on.recipe, **changes)
    run = runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id)
    for step, loss in enumerate(losses, 1):
        runs.record(on.store, run.id, step, {"loss": loss, "memory_peak_gb": loss + len(run.id)})
    adapter = tiny_models.save_adapter(on.base, on.home.path / "made", strength=strength)
    registry.add(on.store, on.home, on.base, adapter, run.id, "dpo")
    ended = "UPDATE runs SET state = 'done', step = ?, started_at = ? WHERE id = ?"
    on.store.execute(ended, len(losses), now(), run.id)
    return runs.get(on.store, run.id)


def compared(on: Ground, earlier: Run, run: Run) -> repeats.Comparison:
    on.store.execute("UPDATE runs SET repeats_id = ? WHERE id = ?", earlier.id, run.id)
    found = repeats.compare(on.store, on.home, runs.get(on.store, run.id))
    assert found is not None
    return found


def test_other_numbers_are_told_with_the_first_figure_and_the_farthest_weight(on: Ground) -> None:
    first, same = done(on, [0.7, 0.6, 0.5]), done(on, [0.7, 0.6, 0.5])
    assert compared(on, first, same).sentence() == (
        f"It repeats {first.id} exactly: all 3 figures and every weight of what was trained are the same."
    )
    other, longer = done(on, [0.7, 0.61, 0.52], 0.25), done(on, [0.7, 0.6, 0.5, 0.4])
    found = compared(on, first, other)
    assert not found.same
    assert [(one.step, one.before, one.now) for one in found.differing] == [(2, 0.6, 0.61), (3, 0.5, 0.52)]
    files = [
        on.home.path / registry.of_run(on.store, run.id).adapter_dir / "adapter_model.safetensors"
        for run in (first, other)
    ]
    one, two = map(load_file, files)
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert found.weights_apart == pytest.approx(apart, rel=1e-6)
    assert "2 of 3 figures differ, first loss at step 2 (0.6, now 0.61)" in found.sentence()
    assert f"{first.id} took 3 steps and this 4" in compared(on, first, longer).sentence()
    files[1].unlink()
    earlier_gone = compared(on, other, done(on, [0.7, 0.61, 0.52]))
    assert (earlier_gone.weights_same, earlier_gone.weights_apart) == (False, None)
    assert earlier_gone.sentence().endswith("the weights differ.")


def refused(on: Ground, run: Run) -> str:
    before = len(runs.listing(on.store))
    with pytest.raises(HoneError) as found:
        repeats.create(on.store, on.home, LOCAL_USER, run.id)
    assert len(runs.listing(on.store)) == before
    assert f"{run.id} cannot be repeated" in str(found.value)
    return str(found.value)


def test_a_run_that_is_not_over_is_not_repeated(on: Ground) -> None:
    run = runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id)
    assert "It is queued. Wait for its end" in refused(on, run)


def test_a_run_is_not_repeated_when_what_it_stood_on_is_gone(on: Ground, tiny_base: Base) -> None:
    moved = on.home.path / "base"
    shutil.copytree(tiny_base.folder, moved)
    run = done(on, [0.7], model=str(moved))
    shutil.rmtree(moved)
    assert f"There is no model folder {moved}" in refused(on, run)
    tiny_models.save_llama(moved, seed=9)
    assert "is not there any more" in refused(on, run)

    adapter = tiny_models.save_adapter(on.base, on.home.path / "adapter")
    version = registry.add(on.store, on.home, on.base, adapter, None, "dpo")
    registry.move_champion(on.store, on.home, LOCAL_USER, version.id, "promote")
    run = done(on, [0.7])
    shutil.rmtree(on.home.path / version.adapter_dir)
    assert f"The model version {version.name} is damaged" in refused(on, run)


def test_a_run_is_not_repeated_when_its_data_are_gone(on: Ground) -> None:
    text = on.home.path / "text.txt"
    text.write_text("One.\n\nTwo.")
    dataset = datasets.freeze_texts(on.store, on.home, LOCAL_USER, text)
    read = runs.create(on.store, LOCAL_USER, dataclasses.replace(on.recipe, method="clm"), dataset.id)
    runs.cancel(on.store, LOCAL_USER, read.id)
    (kept,) = on.home.datasets.glob("*.jsonl")
    kept.unlink()
    assert f"The dataset {dataset.id} cannot be read" in refused(on, read)

    run = done(on, [0.7])
    on.store.execute("PRAGMA foreign_keys = OFF")
    on.store.execute("DELETE FROM snapshots WHERE id = ?", run.snapshot_id)
    assert f"There is no snapshot {run.snapshot_id}" in refused(on, run)


def test_a_repetition_of_rlhf_takes_the_reward_model_that_was_the_latest_then(on: Ground) -> None:
    def reward_model() -> str:
        adapter = tiny_models.save_adapter(on.base, on.home.path / "head")
        made = heads.Made(adapter, None)
        template = on.champion.chat_template_sha256
        return heads.add(on.store, on.home, on.base, made, done(on, []).id, template).name

    then = reward_model()
    run = done(on, [0.7], method="rlhf", reward="latest", batch=4)
    reward_model()
    again = repeats.create(on.store, on.home, LOCAL_USER, run.id)
    assert again.recipe == dataclasses.replace(run.recipe, reward=then)


def test_the_page_tells_of_which_run_this_is_a_repetition(on: Ground) -> None:
    first, again, other = (done(on, losses) for losses in ([0.7], [0.7], [0.8]))
    assert repeat_html(first, None) == ""
    for run, tone in ((again, "good"), (other, "unsure")):
        found = compared(on, first, run)
        shown = repeat_html(runs.get(on.store, run.id), found)
        assert found.sentence() in shown
        assert f"hone-note {tone}" in shown


def test_figures_go_to_a_file_with_every_digit(on: Ground) -> None:
    exact = 1 / 3
    first, second = done(on, [exact, 0.5]), done(on, [2e-17])
    expected = [
        (point.step, point.name, point.value)
        for run in (first, second)
        for point in runs.metrics(on.store, run.id)
    ]
    table, lines = on.home.path / "figures.csv", on.home.path / "figures.jsonl"
    for file in (table, lines):
        told = hone(on, "export", first.id, second.id, "--out", str(file))
        assert (told.exit_code, told.stdout) == (0, f"{len(expected)} figures are in {file}.\n")
    with table.open(newline="") as opened:
        read = list(csv.DictReader(opened))
    assert [(int(row["step"]), row["name"], float(row["value"])) for row in read] == expected
    assert [row["run"] for row in read] == [first.id] * 4 + [second.id] * 2
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(one["step"], one["name"], one["value"]) for one in objects] == expected


def test_the_curves_of_runs_are_drawn_into_one_file(on: Ground) -> None:
    first, second = done(on, [1.0, 0.5]), done(on, [2.0])
    file = on.home.path / "curves.svg"
    told = hone(on, "export", first.id, second.id, "--out", str(file))
    assert (told.exit_code, told.stdout) == (0, f"The curves are in {file}.\n")
    drawn = file.read_text()
    assert "Loss" in drawn
    assert drawn.count("<polyline") == 2
    assert first.id in drawn
    assert second.id in drawn


def test_a_picture_of_too_many_runs_or_of_none_to_draw_is_refused(on: Ground) -> None:
    file = str(on.home.path / "curves.svg")
    many = [done(on, [0.5]).id for _ in range(COMPARED + 2)]
    for names, said in ((many, "too many for one picture"), ([done(on, []).id], "has no curve")):
        told = hone(on, "export", *names, "--out", file)
        assert told.exit_code == 2
        assert said in told.stderr


@pytest.mark.parametrize(
    ("file", "said"),
    [("figures.xlsx", "End it in .csv, .jsonl or .svg"), ("base.csv/x.csv", "cannot be written")],
)
def test_a_file_that_cannot_be_made_is_a_sentence(on: Ground, file: str, said: str) -> None:
    (on.home.path / "base.csv").touch()
    told = hone(on, "export", done(on, [0.5]).id, "--out", str(on.home.path / file))
    assert told.exit_code == 2
    assert said in told.stderr
