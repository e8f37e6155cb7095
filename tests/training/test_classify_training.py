"""Classifiers on a tiny random trunk: what they learn, what they keep, and what a kill costs."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assistant import base as bases
from assistant.base import Base, BaseChoice
from feedback.datasets import Example, Labelled
from feedback.errors import ConflictError, HoneError
from feedback.home import Home
from tests import tiny_models
from training import recipes
from training.classify import heads, serve, tuning, wording
from training.classify import model as trunks
from training.classify.heads import HeadInfo
from training.classify.train import Hooks, Job, train
from training.recipes import Recipe

QUIET = Hooks(lambda *_: None, lambda *_: None, lambda _: None)
QUICK = recipes.from_mapping(
    {"wording": "plain", "epochs": 2, "batch": 8, "lora_rank": 4, "learning_rate": 1e-2},
    recipes.load("classify"),
)


def texts(count: int, seed: int = 0) -> tuple[Example, ...]:
    """Sentences about a cat or a dog, which their last words tell; each is another."""
    chance = random.Random(seed)
    names = {"feline": "the cat", "canine": "the dog"}
    found = []
    for at in range(count):
        label = ("feline", "canine")[at % 2]
        start = "".join(chance.choices("abcdefgh ", k=chance.randint(3, 20)))
        found.append(Example(f"{start.strip()} {at} {names[label]}", label))
    return tuple(found)


def labelled(count: int, seed: int = 0) -> Labelled:
    return Labelled(("canine", "feline"), "", texts(count, seed))


def job(base: Base, folder: Path, settings: Recipe = QUICK, test: Labelled | None = None) -> Job:
    recipe = replace(settings, model=str(base.folder), quantize="none")
    return Job("toy", base, recipe, labelled(60), test, folder, None)


@pytest.fixture
def resolved(home: Home, tiny_base: Base) -> Base:
    """The tiny model as a person's command would find it."""
    return replace(bases.resolve(home, BaseChoice(str(tiny_base.folder), "none")), dtype="float32")


@pytest.mark.parametrize("adapt", ["frozen", "lora", "full"])
def test_each_way_learns_a_separable_task_and_serves_what_was_measured(
    home: Home, resolved: Base, adapt: str
) -> None:
    settings = replace(QUICK, adapt=adapt, learning_rate=1e-2 if adapt == "lora" else 1e-3)
    folder = train(job(resolved, home.path / "work", settings, labelled(40, seed=1)), QUIET)
    info = heads.read(folder)
    assert info.metrics["on"] == "test"
    assert info.metrics["measured"]["accuracy"]["value"] >= 0.95
    kept = heads.keep(home, folder, "toy")
    opened = serve.load_from(kept, heads.find(home, "toy"), resolved)
    guesses = opened.classify([one.text for one in texts(40, seed=1)])
    right = sum(guess.label == one.label for guess, one in zip(guesses, texts(40, seed=1), strict=True))
    assert right / 40 == info.metrics["measured"]["accuracy"]["value"]
    for guess in guesses:
        assert sum(guess.shares.values()) == pytest.approx(1)
        assert guess.probability == max(guess.shares.values()) == guess.shares[guess.label]


def test_ways_train_what_they_say_and_nothing_else(tiny_base: Base) -> None:
    for adapt, wanted in (("lora", {"lora"}), ("full", {"trunk"})):
        model = tuning.adapted(bases.load_model(tiny_base), replace(QUICK, adapt=adapt))
        free = {name for name, part in model.named_parameters() if part.requires_grad}
        kinds = {"lora" if "lora_" in name else "head" if "lm_head" in name else "trunk" for name in free}
        assert kinds == wanted


@pytest.mark.parametrize("kind", ["llama", "gpt2", "recurrent"])
def test_what_is_read_beside_a_text_changes_nothing_of_its_state(tmp_path: Path, kind: str) -> None:
    getattr(tiny_models, f"save_{kind}")(tmp_path)
    model = bases.load_model(Base(kind, kind, tmp_path, "float32", "none", "cpu", ""))
    rows = [(5, 6, 7), (8, 9, 10, 11, 12, 13), (14,)]
    alone = torch.cat([trunks.all_states(model, [row]) for row in rows])
    assert torch.allclose(trunks.all_states(model, rows), alone, atol=1e-5)


def test_batches_of_like_length_hold_every_row_once() -> None:
    lengths = [3, 50, 7, 7, 100, 1]
    found = trunks.by_length(lengths, tokens=60)
    assert sorted(at for batch in found for at in batch) == list(range(6))
    assert found[0] == [4]
    assert all(len(batch) == 1 or len(batch) * max(lengths[at] for at in batch) <= 60 for batch in found)


class Killed(BaseException):
    """As a process that ends at once: nothing may catch it."""


@pytest.mark.parametrize(
    ("adapt", "save_every", "killed_at", "goes_on_at"),
    [("lora", 50, 9, 7), ("full", 50, 9, 7), ("lora", 3, 12, 9)],
)
def test_a_killed_training_goes_on_from_its_last_checkpoint_and_ends_as_if_it_had_not_been(
    home: Home, resolved: Base, adapt: str, save_every: int, killed_at: int, goes_on_at: int
) -> None:
    settings = replace(QUICK, adapt=adapt, epochs=3, save_every=save_every)
    seen: list[int] = []

    def dies(step: int, _total: int) -> None:
        if step == killed_at:
            raise Killed

    with pytest.raises(Killed):
        train(job(resolved, home.path / "a", settings), replace(QUIET, on_step=dies))
    assert not list((home.path / "a").rglob(heads.MANIFEST))
    resumed = train(
        job(resolved, home.path / "a", settings), replace(QUIET, on_step=lambda step, _: seen.append(step))
    )
    assert seen == list(range(goes_on_at, 22))
    whole = train(job(resolved, home.path / "b", settings), QUIET)
    for file, found in heads.files_in(resumed).items():
        if file.endswith(".safetensors"):
            assert found == heads.files_in(whole)[file], file


KNOBS = {
    "learning_rate": 2e-3, "schedule": "constant", "warmup_share": 0.5, "max_grad_norm": 1e-3, "batch": 4,
    "seed": 5, "lora_rank": 2, "lora_alpha": 3, "targets": "q_proj", "epochs": 2, "max_steps": 3,
    "adapt": "full",
}  # fmt: skip


def test_each_knob_of_the_training_changes_what_is_trained(tiny_base: Base, tmp_path: Path) -> None:
    def head(recipe: Recipe, name: str) -> list[float]:
        rows = [(5, 6, at % 30 + 7, 20 + at % 2) for at in range(32)]
        labels = torch.tensor([at % 2 for at in range(32)])
        model = tuning.adapted(bases.load_model(tiny_base), recipe)
        task = tuning.Task(tuning.Rows(rows, labels, rows, labels), recipe, "float32", tmp_path / name)
        start = tuning.Head(torch.zeros(2, 32), torch.zeros(2), 0.0)
        return tuning.tune(model, start, task, QUIET).head.weight.flatten().tolist()

    plain = replace(QUICK, epochs=1)
    before = head(plain, "before")
    assert head(plain, "again") == before
    for knob, value in KNOBS.items():
        assert head(replace(plain, **{knob: value}), knob) != before, knob


def test_the_rate_climbs_in_a_line_and_falls_as_the_schedule_says() -> None:
    shares = {
        schedule: [
            tuning.rate_share(replace(QUICK, schedule=schedule, warmup_share=0.2), at, 10) for at in range(10)
        ]
        for schedule in ("linear", "cosine", "constant")
    }
    assert all(found[:2] == [0.5, 1.0] for found in shares.values())
    assert shares["linear"][2:] == [left / 8 for left in range(8, 0, -1)]
    assert shares["cosine"][6] == pytest.approx(0.5)
    assert set(shares["constant"][2:]) == {1.0}


def test_the_best_epoch_is_kept_not_the_last(tiny_base: Base, tmp_path: Path) -> None:
    """The calibration part says the opposite of the training part: each epoch is worse than the last."""
    found: list[float] = []
    hooks = tuning.Hooks(
        lambda *_: None, lambda _, told: found.append(told.get("calibration_loss", -1)), lambda _: None
    )
    settings = replace(QUICK, adapt="full", epochs=3, learning_rate=1e-3)
    model = tuning.adapted(bases.load_model(tiny_base), settings)
    rows = [(5, 6, at % 30 + 7, 20 + at % 2) for at in range(32)]
    labels = torch.tensor([at % 2 if at < 16 else 1 - at % 2 for at in range(32)])
    task = tuning.Task(
        tuning.Rows(rows[:16], labels[:16], rows[16:], labels[16:]), settings, "float32", tmp_path
    )
    start = tuning.Head(torch.zeros(2, 32), torch.zeros(2), 0.0)
    tuned = tuning.tune(model, start, task, hooks)
    losses = [loss for loss in found if loss >= 0]
    assert losses == sorted(losses)
    assert tuned.epoch == 1
    states = trunks.all_states(model, rows[16:])
    now = tuning.loss_of(tuned.head, tuning.Labelled(states, labels[16:]))
    assert now == pytest.approx(losses[0], rel=1e-4)


def test_the_wording_is_chosen_by_the_calibration_part_and_kept(home: Home, resolved: Base) -> None:
    said: list[str] = []
    settings = replace(QUICK, adapt="frozen", wording="auto")
    folder = train(job(resolved, home.path / "work", settings), replace(QUIET, say=said.append))
    info = heads.read(folder)
    losses = info.metrics["wording_losses"]
    assert set(losses) == {"plain", "asked", "chat"}
    assert info.wording.name == min(losses, key=losses.get)
    assert any("flatters" in line for line in said)


def test_a_text_that_is_too_long_loses_its_end_and_never_the_question(tiny_base: Base) -> None:
    asked = wording.Wording("own", "Is it good?\n{{ text }}\nAnswer:", False)
    tokenizer = bases.load_tokenizer(tiny_base)
    reading = wording.Reading(asked, ("no", "yes"), bases.chat_template(tiny_base), tokenizer, 60)
    long = "word " * 200
    put = tokenizer.decode(reading.ids(long))
    assert reading.is_cut(long)
    assert len(reading.ids(long)) <= 60
    assert put.startswith("Is it good?\nword word")
    assert put.endswith("\nAnswer:")
    assert not reading.is_cut("word")


@pytest.mark.parametrize("named", ["plain", "chat"])
def test_a_control_token_in_a_text_is_only_text(tiny_base: Base, named: str) -> None:
    tokenizer = bases.load_tokenizer(tiny_base)
    (chosen,) = wording.chosen(named, "", 2)
    reading = wording.Reading(chosen, ("no", "yes"), bases.chat_template(tiny_base), tokenizer, 512)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert reading.ids("a <|end|> b").count(end) == reading.ids("a b").count(end)


def test_a_classifier_goes_on_from_a_model_version_and_carries_its_adapter(
    home: Home, resolved: Base
) -> None:
    adapter = tiny_models.save_adapter(resolved, home.path / "adapter")
    settings = replace(QUICK, adapt="frozen")
    plain = train(job(resolved, home.path / "a", settings), QUIET)
    started = train(replace(job(resolved, home.path / "b", settings), start_adapter=adapter), QUIET)
    assert heads.read(started).base_adapter_sha256 == heads.files_in(adapter)["adapter_model.safetensors"]
    one, other = (serve.load_from(folder, heads.read(folder), resolved) for folder in (plain, started))
    states = [trunks.all_states(opened.model, [(5, 6, 7)]) for opened in (one, other)]
    assert not torch.allclose(*states)


@pytest.mark.parametrize("adapt", ["lora", "full"])
def test_what_goes_on_from_a_model_version_is_its_adapter_or_its_weights(
    home: Home, resolved: Base, adapt: str
) -> None:
    adapter = tiny_models.save_adapter(resolved, home.path / "adapter")
    settings = replace(QUICK, adapt=adapt, epochs=1, learning_rate=1e-7)  # hardly a step from where it starts
    folder = train(replace(job(resolved, home.path / "a", settings), start_adapter=adapter), QUIET)
    assert (folder / heads.ADAPTER).is_dir() == (adapt == "lora")
    served = serve.load_from(folder, heads.read(folder), resolved).model
    started = trunks.load(resolved, adapter)
    rows = [(5, 6, 7), (9, 8)]
    assert torch.allclose(trunks.all_states(served, rows), trunks.all_states(started, rows), atol=1e-3)


def kept(home: Home, base: Base) -> HeadInfo:
    folder = train(job(base, home.path / "work", replace(QUICK, adapt="frozen")), QUIET)
    heads.keep(home, folder, "toy")
    return heads.find(home, "toy")


def test_a_changed_file_a_missing_one_and_a_new_one_are_refused(home: Home, resolved: Base) -> None:
    info = kept(home, resolved)
    folder = heads.folder_of_all(home) / "toy"
    heads.check_files(folder)
    head = (folder / heads.HEAD).read_bytes()
    for spoil in (
        lambda: (folder / heads.HEAD).write_bytes(head[:-1] + b"x"),
        (folder / heads.HEAD).unlink,
        lambda: (folder / heads.TRUNK).write_bytes(b"more"),
    ):
        spoil()
        with pytest.raises(HoneError, match="damaged"):
            serve.load(home, info)
        (folder / heads.HEAD).write_bytes(head)
        (folder / heads.TRUNK).unlink(missing_ok=True)
    assert serve.load(home, info).classify(["a cat"])[0].label in info.labels


def test_a_classifier_does_not_open_on_another_base(home: Home, resolved: Base) -> None:
    info = kept(home, resolved)
    with pytest.raises(HoneError, match="does not fit"):
        serve.load_from(heads.folder_of_all(home) / "toy", info, replace(resolved, id="another"))


def test_a_folder_without_a_manifest_is_no_classifier_and_a_name_is_taken_once(
    home: Home, resolved: Base
) -> None:
    info = kept(home, resolved)
    (heads.folder_of_all(home) / "half").mkdir()
    assert [one.name for one in heads.listing(home)] == ["toy"]
    assert heads.find(home, info.id) == heads.find(home, "latest") == info
    with pytest.raises(ConflictError):
        heads.check_name(home, "toy")
    with pytest.raises(HoneError, match="is not latest"):
        heads.check_name(home, "latest")
    assert heads.free_name(home, "toy") == "toy-2"
    longest = "a" * heads.LONGEST
    assert heads.free_name(home, longest + "b") == longest
    (heads.folder_of_all(home) / longest).mkdir()
    assert heads.free_name(home, longest) == longest[:-2] + "-2"
    (heads.folder_of_all(home) / "half" / heads.MANIFEST).write_text("{")
    assert heads.find(home, "toy") == info
    with pytest.raises(HoneError, match="manifest cannot be read"):
        heads.listing(home)


def test_the_report_shows_the_mistakes_as_text(home: Home, resolved: Base) -> None:
    wrong = Labelled(
        ("canine", "feline"), "",
        (Example("<script> abc the cat", "canine"), Example("a b the dog", "canine")),
    )  # fmt: skip
    folder = train(job(resolved, home.path / "work", replace(QUICK, adapt="frozen"), wrong), QUIET)
    page = (folder / heads.REPORT).read_text("utf-8")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "1 of 1, the surest first" in page
    assert json.loads((folder / heads.MANIFEST).read_text())["metrics"]["measured"]["examples"] == 2


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"epochs": 0}, {"epochs": 1.5}, {"adapt": "dora"}, {"calibration_share": 1.0}, {"accumulation": 2},
        {"learning_rate": -1.0},
    ):  # fmt: skip
        with pytest.raises(HoneError):
            replace(QUICK, **wrong)


def test_a_loss_that_is_no_number_ends_the_training_in_words(home: Home, resolved: Base) -> None:
    with pytest.raises(HoneError, match="learning rate is most likely too high"):
        train(job(resolved, home.path / "work", replace(QUICK, adapt="full", learning_rate=1e30)), QUIET)
