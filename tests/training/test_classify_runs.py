"""Classifiers as runs: what is kept of one, that it comes to the same again, what a kill or cancel costs."""

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from assistant import registry
from assistant.base import Base
from feedback import datasets, full_disc
from feedback.datasets import Dataset, Example, Labelled
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import tiny_models, training_ground
from tests.training_ground import Ground, finished, wait
from training import recipes, repeats, runs, trainers, worker
from training.classify import begin, heads, serve, tuning
from training.classify import model as trunks
from training.classify.begin import Wanted
from training.runs import Run

QUICK: dict[str, Any] = {"wording": "plain", "batch": 8, "lora_rank": 4, "learning_rate": 1e-3}


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base, questions=12)


def texts(first: int, count: int) -> Labelled:
    kinds = (("the dog", "canine"), ("the cat", "feline"))
    rows = [(at, *kinds[at % 2]) for at in range(first, first + count)]
    examples = tuple(Example(f"{at} times {animal}", label) for at, animal, label in rows)
    return Labelled(("canine", "feline"), "", examples)


def kept(on: Ground, first: int = 0, count: int = 40, name: str = "animals.jsonl") -> Dataset:
    return datasets.freeze_labelled(on.store, on.home, LOCAL_USER, name, texts(first, count))


def queued(on: Ground, test: Dataset | None = None, start: str | None = None, **changes: Any) -> Run:
    recipe = recipes.from_mapping(
        QUICK | {"model": str(on.base.folder), "quantize": "none"} | changes, recipes.load("classify")
    )
    wanted = Wanted(kept(on).id, test.id if test else None, start)
    return begin.create(on.store, on.home, LOCAL_USER, recipe, wanted)


def done(on: Ground, run: Run) -> Run:
    """The run, done as its process does it, but here."""
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    return runs.get(on.store, run.id)


def test_a_run_keeps_its_recipe_its_data_and_its_figures_and_makes_a_classifier(on: Ground) -> None:
    test = kept(on, first=100, name="test.jsonl")
    run = done(on, queued(on, test, called="pets"))
    assert (run.state, run.error, run.candidate_id) == ("done", None, None)
    assert (run.dataset_id, run.test_dataset_id) == (kept(on).id, test.id)
    info = heads.of_run(on.home, run.id)
    assert info is not None
    assert (info.name, info.run_id) == ("pets", run.id)
    assert info.data == {"train": kept(on).sha256, "test": test.sha256}
    assert recipes.from_mapping(info.settings) == run.recipe
    figures: dict[str, list[float]] = {}
    for point in runs.metrics(on.store, run.id):
        figures.setdefault(point.name, []).append(point.value)
    assert len(figures["loss"]) == run.step == run.total_steps
    assert len(figures["calibration_loss"]) == len(figures["calibration_accuracy"]) == 2
    assert figures["final_accuracy"] == [info.metrics["measured"]["accuracy"]["value"]]
    assert figures["trained_numbers"] == [info.metrics["trainable_parameters"]]
    assert {"memory_estimate_gb", "memory_peak_gb"} <= figures.keys()
    assert not (runs.folder(on.home, run.id) / "checkpoints").exists()
    assert serve.load(on.home, info).classify(["7 times the cat"])[0].label == "feline"
    assert registry.champion(on.store).id == on.champion.id


@pytest.mark.parametrize("adapt", ["frozen", "lora", "full"])
def test_a_repetition_comes_to_the_same_numbers_and_the_same_weights(on: Ground, adapt: str) -> None:
    first = done(on, queued(on, adapt=adapt, called="pets", seed=3))
    again = done(on, repeats.create(on.store, on.home, LOCAL_USER, first.id))
    assert again.recipe == first.recipe
    compared = repeats.compare(on.store, on.home, again)
    assert compared is not None
    assert compared.same, compared.sentence()
    assert (compared.weights_same, compared.weights_apart) == (True, 0.0)
    made = [heads.of_run(on.home, run.id) for run in (first, again)]
    assert [one and one.name for one in made] == ["pets", "pets-2"]
    if adapt == "lora":
        other = done(on, queued(on, adapt=adapt, seed=4))
        on.store.execute("UPDATE runs SET repeats_id = ? WHERE id = ?", first.id, other.id)
        differs = repeats.compare(on.store, on.home, runs.get(on.store, other.id))
        assert differs is not None
        assert not differs.same
        assert differs.weights_apart


def test_a_run_is_not_repeated_when_what_it_was_measured_on_is_gone(on: Ground) -> None:
    test = kept(on, first=100)
    run = queued(on, test)
    runs.cancel(on.store, LOCAL_USER, run.id)
    (on.home.datasets / f"{test.id}.jsonl").unlink()
    with pytest.raises(ConflictError, match=f"The dataset {test.id} cannot be read"):
        repeats.create(on.store, on.home, LOCAL_USER, run.id)


def test_a_killed_run_and_a_cancelled_one_go_on_and_end_as_if_they_had_not_been(on: Ground) -> None:
    changes = {"epochs": 12, "save_every": 2, "seed": 1}
    whole = done(on, queued(on, **changes))
    run = runs.start(on.home, queued(on, **changes).id)
    os.kill(wait(on, run, lambda now: now.step >= 3).pid, signal.SIGKILL)
    assert finished(on, run).state == "interrupted"
    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    before = runs.get(on.store, run.id).step
    wait(on, run, lambda now: now.step > before and now.state == "running")
    runs.cancel(on.store, LOCAL_USER, run.id)
    assert finished(on, run).state == "cancelled"
    runs.resume(on.home, on.store, LOCAL_USER, run.id)
    ended = finished(on, run)
    log = runs.log_text(on.home, run.id)
    assert (ended.state, ended.error) == ("done", None), log
    assert log.count("Going on from checkpoint-") == 2
    one, other = (heads.of_run(on.home, one.id) for one in (whole, ended))
    assert one is not None
    assert other is not None
    assert heads.weights(on.home, one)[1] == heads.weights(on.home, other)[1]


def test_a_run_that_was_killed_after_its_classifier_was_kept_makes_no_second_one(on: Ground) -> None:
    run = done(on, queued(on, adapt="frozen"))
    on.store.execute("UPDATE runs SET state = 'queued' WHERE id = ?", run.id)
    assert done(on, run).state == "done"
    assert len(heads.listing(on.home)) == 1


def test_a_full_disc_is_known_and_the_last_complete_checkpoint_stays(on: Ground) -> None:
    recipe = recipes.from_mapping(QUICK | {"save_every": 2}, recipes.load("classify"))
    model = tuning.adapted(trunks.load(on.base), recipe)
    import torch

    rows = [(5, 6, at % 30 + 7) for at in range(40)]
    labels = torch.tensor([at % 2 for at in range(40)])
    task = tuning.Task(tuning.Rows(rows, labels, rows, labels), recipe, "float32", on.home.path)
    checkpoints = on.home.path / "checkpoints"

    def fills(step: int, _total: int) -> None:
        if step == 3:
            (checkpoints / "checkpoint-4").mkdir()
            (checkpoints / "checkpoint-4" / tuning.STATE).symlink_to("/dev/full")

    start = tuning.Head(torch.zeros(2, 32), torch.zeros(2), 0.0)
    with pytest.raises(Exception) as found:
        tuning.tune(model, start, task, tuning.Hooks(fills, lambda *_: None, lambda _: None))
    assert full_disc.is_why(found.value)
    trainers.drop_incomplete(checkpoints)
    assert Path(trainers.last_checkpoint(on.home.path) or "").name == "checkpoint-2"


def test_a_loss_that_is_no_number_ends_a_run_in_words(on: Ground) -> None:
    run = done(on, queued(on, adapt="full", learning_rate=1e30, warmup_share=0.0))
    assert run.state == "failed"
    assert "The learning rate is most likely too high" in str(run.error)
    assert heads.listing(on.home) == []


def test_a_classifier_starts_from_the_base_or_from_a_version_that_it_can_carry(
    on: Ground, tmp_path: Path
) -> None:
    adapter = tiny_models.save_adapter(on.base, tmp_path / "adapter")
    lora = registry.add(on.store, on.home, on.base, adapter, None, "sft")
    registry.move_champion(on.store, on.home, LOCAL_USER, lora.id, "promote")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "PROMPT_TUNING"}))
    soft = registry.add(on.store, on.home, on.base, adapter, None, "sft")
    assert queued(on).base_version_id == on.champion.id
    started = queued(on, start=lora.name, adapt="frozen", called="from-lora")
    assert started.base_version_id == lora.id
    with pytest.raises(HoneError, match="carries LoRA and IA3 alone"):
        queued(on, start=soft.name)
    on.store.execute("UPDATE runs SET state = 'cancelled' WHERE id <> ?", started.id)
    assert done(on, started).state == "done"
    assert heads.find(on.home, "from-lora").base_adapter_sha256 == lora.adapter_sha256


def test_another_base_than_the_champions_is_welcome_and_leaves_the_champion(
    on: Ground, tmp_path: Path
) -> None:
    tiny_models.save_gpt2(tmp_path / "gpt2")
    run = done(on, queued(on, adapt="frozen", model=str(tmp_path / "gpt2")))
    assert (run.state, run.error) == ("done", None)
    assert registry.champion(on.store).id == on.champion.id


def test_what_has_no_labels_and_labels_that_were_never_learnt_are_refused(on: Ground) -> None:
    file = on.home.path / "text.txt"
    file.write_text("One.\n\nTwo.")
    text = datasets.freeze_texts(on.store, on.home, LOCAL_USER, file)
    with pytest.raises(HoneError, match="It holds text, and a classifier needs labels"):
        queued(on, text)
    birds = Labelled(("bird",), "", (Example("a robin", "bird"),))
    other = datasets.freeze_labelled(on.store, on.home, LOCAL_USER, "birds.jsonl", birds)
    with pytest.raises(HoneError, match="label is 'bird', not one of canine, feline"):
        queued(on, other)
    with pytest.raises(HoneError, match=r"It learns from texts with labels\..*hone train classify --data"):
        runs.create(on.store, LOCAL_USER, recipes.load("classify"), on.snapshot.id)
    assert runs.listing(on.store) == []


def test_a_classifier_from_before_there_were_runs_stays_usable(on: Ground) -> None:
    run = done(on, queued(on, adapt="frozen", called="old"))
    file = heads.folder_of_all(on.home) / "old" / heads.MANIFEST
    told = json.loads(file.read_text())
    del told["run_id"]
    told["settings"] = {"adapt": "frozen", "wording": "plain", "epochs": 2}  # as they were then
    file.write_text(json.dumps(told))
    (info,) = heads.listing(on.home)
    assert info.run_id is None
    assert heads.of_run(on.home, run.id) is None
    assert serve.load(on.home, info).classify(["8 times the dog"])[0].label == "canine"


def test_a_dataset_of_labels_comes_back_as_it_was_and_is_one_whatever_its_file_was_called(on: Ground) -> None:
    given = dataclasses.replace(texts(0, 6), labels=("feline", "canine"), question="Which?\n\n{{ text }}")
    first = datasets.freeze_labelled(on.store, on.home, LOCAL_USER, "one.jsonl", given)
    assert datasets.labelled(on.home, first) == given
    assert (first.kind, first.rows) == ("labels", 6)
    assert datasets.freeze_labelled(on.store, on.home, LOCAL_USER, "two.jsonl", given) == first
    assert kept(on, count=6) != first
