import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError, NotFoundError
from training import adaptations, order, recipes, trainers
from training.launch import configs
from training.methods import METHODS, Method
from training.recipes import Recipe

OTHER = {
    "method": "sft", "epochs": 3.0, "max_steps": 7, "learning_rate": 2e-4, "schedule": "cosine",
    "warmup_share": 0.3, "max_grad_norm": 0.5, "batch": 8, "accumulation": 5, "reference_batch": 2,
    "max_length": 99,
    "beta": 0.4, "losses": ("ipo",), "loss_weights": (0.5,),
    "label_smoothing": 0.2, "seed": 11, "save_every": 9,
}  # fmt: skip
OF_A_METHOD = {
    "kto": {"liked_weight": 2.0, "disliked_weight": 3.0}, "reward": {"centre": 0.3},
    "rlhf": {"answers": 2, "answer_tokens": 9, "temperature": 0.7, "beta": 0.0},
}  # fmt: skip
ADAPTED = {
    "adapt": ("dora", {}), "targets": ("q_proj,v_proj", {}), "lora_rank": (3, {}), "lora_alpha": (5, {}),
    "virtual_tokens": (7, {"adapt": "prompt"}),
}  # fmt: skip
"""A value, and what else must be so for it to matter."""
ELSEWHERE = {
    "bottleneck_size": "test_adaptations: it is in the shapes of what is kept",
    "layers": "test_adaptations: likewise in its names",
    "name": "said in lists and logs", "description": "said in lists",
    "model": "the worker resolves it (test_runs: another base is refused)", "quantize": "likewise",
    "evaluate": "the worker asks it (test_runs: with and without a gate report)",
    "metrics": "the worker follows it (test_metrics_copy)",
    "replay": "the data follow it (test_rounds)",
    "unpair": "the data follow it (test_methods)", "reward": "what scores (test_methods)",
    "cut_off_penalty": "what an answer scores (test_methods)",
    "wording": "test_classify_training: what texts are put as", "called": "test_classify_runs",
    "calibration_share": "test_classify_data: the split follows it",
    "algorithm": "which trainer (test_methods)", "judge_every": "when the judge is asked (test_methods)",
}  # fmt: skip


def test_each_setting_of_a_recipe_changes_what_the_trainer_is_told() -> None:
    only = {key for changes in OF_A_METHOD.values() for key in changes}
    known = set(OTHER) | only | set(ADAPTED) | set(ELSEWHERE)
    assert known == {field.name for field in dataclasses.fields(Recipe)}
    for method, changes in {"dpo": OTHER, **OF_A_METHOD}.items():
        plain = dataclasses.replace(Recipe(), method=method)
        before = trainers.settings(plain, Path("run"), "cpu")
        for key, value in changes.items():
            changed = dataclasses.replace(plain, **{key: value})
            assert trainers.settings(changed, Path("run"), "cpu") != before, (method, key)
    for key, (value, also) in ADAPTED.items():
        around = dataclasses.replace(Recipe(), **also)
        changed = dataclasses.replace(around, **{key: value})
        assert adaptations.peft_settings(changed, 10) != adaptations.peft_settings(around, 10), key


def test_the_presets_load_and_say_what_they_are() -> None:
    assert {"dpo", "dpo-quick", "sft"} <= recipes.presets().keys()
    for name, recipe in recipes.presets().items():
        assert recipe.name == name
        assert recipe.description
        assert recipes.load(name) is recipe


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_each_method_ships_a_recipe_of_its_own_with_its_settings_explained(method: Method) -> None:
    assert recipes.presets()[method.preset].method == method.name
    file = recipes.FOLDER / f"{method.preset}.yaml"
    assert [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("ipo", "dpo", {"losses": ("ipo",)}),
        ("robust", "dpo", {"losses": ("robust", "sft"), "label_smoothing": 0.1}),
        ("grpo", "rlhf", {"algorithm": "grpo"}),
    ],
)
def test_a_variant_of_a_method_is_a_preset_of_it(name: str, method: str, said: dict[str, object]) -> None:
    recipe = recipes.load(name)
    assert recipe.method == method
    assert {key: getattr(recipe, key) for key in said} == said


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(HoneError, match="Did you mean 'learning_rate'"):
        recipes.from_mapping({"learning_rat": 1e-4})


def test_a_recipe_file_is_read_as_a_preset_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("method: dpo\nlearning_rate: 3e-5\nlosses: [sigmoid, sft]\nloss_weights: [1, 0.2]\n")
    found = recipes.load(str(file))
    assert (found.name, found.learning_rate, found.loss_weights) == ("mine", 3e-5, (1.0, 0.2))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "epochs must be above 0"),
        ({"method": "ppo"}, "method must be one of"),
        ({"losses": ["magic"]}, "'magic' is not a loss"),
        ({"loss_weights": ["1", "2"]}, "losses names 1 and loss_weights 2"),
        ({"batch": 2.5}, "cannot be 2.5"),
        ({"evaluate": "maybe"}, "cannot be 'maybe'"),
        ({"label_smoothing": 0.7}, "label_smoothing"),
        ({"warmup_share": 1.0}, "warmup_share"),
        ({"adapt": "lroa"}, "adapt must be one of lora"),
        ({"adapt": "all-linear"}, "adapt must be one of lora"),
        ({"adapt": "bias", "quantize": "nf4"}, "cannot be trained by bias"),
        ({"adapt": "layers", "layers": "the last"}, "layers must be like"),
        ({"metrics": "tensorbord"}, "one of none, tensorboard, trackio.*Did you mean 'tensorboard'"),
        ({"virtual_tokens": 0}, "virtual_tokens must be above 0"),
        (
            {"method": "classify", "accumulation": 1, "adapt": "dora"},
            "classify trains by one of lora, frozen, full",
        ),
        ({"method": "reward", "adapt": "full"}, "reward trains by one of lora"),
        ({"adapt": "frozen"}, "adapt must be one of lora"),
        ({"method": "classify", "accumulation": 2}, "accumulation must be 1"),
        ({"method": "classify", "accumulation": 1, "epochs": 1.5}, "whole epochs"),
        ({"calibration_share": 1}, "calibration_share must lie"),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_words(values: dict[str, object], said: str) -> None:
    with pytest.raises(HoneError, match=said):
        recipes.from_mapping(values)


def test_an_unknown_recipe_names_the_presets() -> None:
    with pytest.raises(NotFoundError, match="dpo-quick"):
        recipes.load("dop")


@given(st.integers(1, 9), st.floats(1e-6, 1e-2), st.booleans(), st.integers(0, 10**6))
def test_a_stored_recipe_comes_back_as_it_was(batch: int, rate: float, evaluate: bool, seed: int) -> None:
    made = Recipe(batch=batch, learning_rate=rate, evaluate=evaluate, seed=seed)
    assert recipes.from_json(recipes.to_json(made)) == made


def test_another_family_brings_the_rate_that_suits_it() -> None:
    classifier = recipes.load("classify")
    assert recipes.for_family(classifier, "frozen").learning_rate == classifier.learning_rate
    full = recipes.for_family(Recipe(learning_rate=1e-4), "full")
    assert (full.adapt, full.learning_rate) == ("full", pytest.approx(1e-5))
    assert recipes.for_family(full, "lora").learning_rate == pytest.approx(1e-4)


@pytest.mark.parametrize("modules", ["all-linear", "q_proj,v_proj"])
def test_a_recipe_stored_when_there_was_lora_alone_means_what_it_meant(modules: str) -> None:
    old = json.loads(recipes.to_json(Recipe(name="old", lora_rank=7)))
    for since in ("targets", "virtual_tokens", "bottleneck_size", "layers"):
        del old[since]
    found = recipes.from_json(json.dumps(old | {"adapt": modules}))
    assert (found.adapt, found.targets, found.lora_rank) == ("lora", modules, 7)
    assert recipes.from_json(recipes.to_json(found)) == found


some_lengths = given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 5)
)


def each_once(arranged: order.Arranged, lengths: list[int], size: int, seed: int) -> list[int]:
    """The order, which has every example once, and is the same for the same seed."""
    found = arranged(lengths, size, seed)
    assert sorted(found) == list(range(len(lengths)))
    assert found == arranged(lengths, size, seed)
    return found


@some_lengths
def test_batches_hold_every_example_once_and_like_lengths_together(
    lengths: list[int], size: int, seed: int
) -> None:
    found = each_once(order.batches, lengths, size, seed)
    groups = [found[i : i + size] for i in range(0, len(found), size)]
    spans = sorted((min(lengths[i] for i in g), max(lengths[i] for i in g)) for g in groups)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@some_lengths
def test_balanced_batches_hold_every_example_once_and_each_its_share_of_the_long_ones(
    lengths: list[int], size: int, seed: int
) -> None:
    found = each_once(order.balanced, lengths, size, seed)
    count = len(found) // size
    groups = [[lengths[i] for i in found[at * size : (at + 1) * size]] for at in range(count)]
    # The nth longest of one is at least the next of any other: no two have both of the longest.
    by_rank = list(zip(*(sorted(group, reverse=True) for group in groups), strict=True))
    assert all(min(longer) >= max(shorter) for longer, shorter in itertools.pairwise(by_rank))


def test_each_epoch_has_an_order_of_its_own_and_meets_it_again_after_a_restart() -> None:
    epochs = order.LengthOrder(list(range(40)), 4, seed=3)
    first = list(epochs)
    epochs.set_epoch(1)
    second = list(epochs)
    assert first != second
    again = order.LengthOrder(list(range(40)), 4, seed=3)
    again.set_epoch(1)
    assert list(again) == second


def test_a_loss_is_named_alone_or_in_brackets_and_weighs_one() -> None:
    start = recipes.load("dpo")
    for said in ("ipo", "[ipo]", ["ipo"]):
        found = recipes.from_mapping({"losses": said}, start)
        assert (found.losses, found.loss_weights) == (("ipo",), (1.0,))
    both = recipes.from_mapping({"losses": "[robust, sft]"}, start)
    assert (both.losses, both.loss_weights) == (("robust", "sft"), start.loss_weights)
    with pytest.raises(HoneError, match="losses names 1 and loss_weights 2"):
        recipes.from_mapping({"losses": "ipo", "loss_weights": "1,2"}, start)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("batch", "x", "must be a whole number, such as 4"),
        ("unpair", "maybe", "must be true or false, such as False"),
        ("learning_rate", "fast", "must be a number, such as"),
        ("learning_rate", "inf", "learning_rate must be a finite number"),
    ],
)
def test_a_value_of_a_wrong_kind_is_told_which_kind_is_right(key: str, value: str, said: str) -> None:
    with pytest.raises(HoneError, match=said):
        recipes.from_mapping({key: value})


def test_a_setting_is_refused_by_just_the_methods_that_do_not_read_it() -> None:
    for preset in recipes.presets().values():
        recipes.check_read(preset)
    told = {key: value for changes in (*OF_A_METHOD.values(), OTHER) for key, value in changes.items()}
    for method in ("sft", "dpo", "kto", "reward", "rlhf"):
        plain = dataclasses.replace(Recipe(), method=method)
        for key in recipes.READ_BY.keys() & told.keys():
            changed = dataclasses.replace(plain, **{key: told[key]})
            reads = trainers.settings(changed, Path("r"), "cpu") != trainers.settings(plain, Path("r"), "cpu")
            if reads:
                recipes.check_read(changed)
            else:
                with pytest.raises(HoneError, match=f"{method} does not read the setting {key}"):
                    recipes.check_read(changed)


def test_a_file_that_is_no_yaml_is_told_by_line_in_one_line(tmp_path: Path) -> None:
    for content, said in (
        (b"method: kto\nlosses: [", "Line 2: "), (b"\xff\xfe", "can't decode byte"), (b"\0", "character"),
    ):  # fmt: skip
        (file := tmp_path / "mine.yaml").write_bytes(content)
        for read in (recipes.load, configs.load):
            with pytest.raises(HoneError, match="is not YAML") as refused:
                read(str(file))
            assert said in str(refused.value)
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"losses": "sigmoid,sft", "loss_weights": "1,-0.1"}, "below 0"),
        ({"losses": "sigmoid,sft", "loss_weights": "0,0"}, "nothing would be trained"),
        ({"losses": "ipo", "label_smoothing": 0.1}, "which losses does not name"),
        ({"losses": "robust"}, "needs label_smoothing"),
    ],
)
def test_losses_that_would_do_something_else_than_they_say_are_refused_and_still_read_in_old_runs(
    changes: dict[str, object], why: str
) -> None:
    found = recipes.from_mapping(changes)
    assert recipes.from_json(recipes.to_json(found)) == found
    with pytest.raises(HoneError, match=why):
        recipes.check(found)
    recipes.check(dataclasses.replace(found, method="kto"))
    for right in ({"losses": "robust", "label_smoothing": 0.1}, {"losses": "ipo"}, {"losses": "sigmoid,sft"}):
        recipes.check(recipes.from_mapping(right))
