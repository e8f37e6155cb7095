"""What a run is said to need: properties of the formulas, names, changes that make it fit, and the
command.
"""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from assistant import device as machine
from feedback.command_line import HoneGroup
from feedback.errors import HoneError
from feedback.home import Home
from tests import tiny_models
from training import memory, recipes
from training.memory import measure, notes
from training.memory import plan as plans
from training.memory.fitting import RUNS, changes, smallest
from training.memory.formulas import materialised
from training.memory.refusal import advice
from training.memory.shape import EMBEDDED, GPT2, Shape, of_config
from training.memory.words import PARTS
from training.memory_command import memory_command

ROOT = Path(__file__).parent.parent.parent

shapes = st.builds(
    lambda layers, heads, size, groups, inner, gated, vocabulary: Shape(
        "drawn", layers, heads * size, heads, heads // groups, size, inner, vocabulary, gated=gated
    ),
    st.integers(1, 40), st.sampled_from([4, 8, 16]), st.sampled_from([16, 64]), st.sampled_from([1, 2, 4]),
    st.integers(64, 4096), st.booleans(), st.integers(500, 50_000),
)  # fmt: skip
made: dict[str, Any] = {
    "method": st.sampled_from(plans.METHODS),
    "adapt": st.sampled_from(plans.ADAPTS[:-1]),
    "precision": st.sampled_from(plans.PRECISIONS),
    "optimiser": st.sampled_from(plans.OPTIMISERS),
    "batch": st.integers(1, 8),
    "length": st.integers(16, 1024),
    "accumulation": st.integers(1, 3),
    "checkpointing": st.booleans(),
    "device": st.sampled_from(["cpu", "cuda"]),
}
drawn = st.builds(plans.make, **made).filter(lambda plan: plan.adapt != "frozen" or plan.method == "classify")


def peak(shape: Shape, plan: plans.Plan) -> int:
    return memory.estimate(shape, plan).peak_bytes


@given(shapes, drawn)
def test_the_parts_at_the_peak_are_the_peak_and_none_is_more_than_its_most(
    shape: Shape, plan: plans.Plan
) -> None:
    found = memory.estimate(shape, plan)
    assert sum(part.peak_bytes for part in found.parts) == found.peak_bytes
    assert all(0 <= part.peak_bytes <= part.most_bytes for part in found.parts)
    assert found.peak_bytes <= sum(part.most_bytes for part in found.parts)


@given(shapes, drawn, st.integers(1, 8), st.integers(0, 512))
def test_more_examples_longer_ones_and_a_larger_model_never_need_less(
    shape: Shape, plan: plans.Plan, more: int, longer: int
) -> None:
    before = peak(shape, plan)
    assert peak(shape, plans.sized(plan, plan.batch + more, plan.length, plan.prompt)) >= before
    assert peak(shape, plans.sized(plan, plan.batch, plan.length + longer, plan.prompt)) >= before
    for larger in (
        replace(shape, layers=shape.layers + more),
        replace(shape, vocabulary=shape.vocabulary + more * 100),
        replace(shape, inner=shape.inner + more * 8),
    ):
        assert peak(larger, plan) >= before


@given(shapes, st.integers(1, 8), st.integers(16, 1024), st.integers(1, 4))
@example(Shape("few words", 1, 1024, 16, 16, 64, 64, 500, gated=False), 8, 1024, 1)
def test_lora_needs_no_more_than_full_training_and_qlora_no_more_than_lora_of_weights(
    shape: Shape, batch: int, length: int, rank: int
) -> None:
    def of(adapt: str, precision: str = "fp32") -> memory.Estimate:
        plan = plans.make("sft", batch, length, 0, adapt=adapt, precision=precision, rank=rank)
        return memory.estimate(shape, plan)

    full, lora = of("full"), of("lora")
    assert lora.part("optimiser").most_bytes <= full.part("optimiser").most_bytes
    # In tiles, and beside them each token's state and the gradient by it.
    states = batch * length * shape.width * 2 * 4
    assert lora.part("logits").most_bytes <= full.part("logits").most_bytes + states + 1
    assert of("qlora", "bf16").part("weights").most_bytes <= of("lora", "bf16").part("weights").most_bytes


@given(shapes, drawn)
@example(
    Shape("one layer", 1, 1024, 16, 16, 64, 64, 500, gated=False),
    plans.make("clm", 5, 597, adapt="full", precision="bf16"),
)
def test_less_of_anything_never_needs_more(shape: Shape, plan: plans.Plan) -> None:
    # The layer that is walked back is whole either way; checkpointing keeps what it began with beside it.
    begun_with = plan.load.tokens * shape.width * 4
    rounded = len(PARTS)  # each part to whole bytes
    assert (
        peak(shape, replace(plan, checkpointing=True))
        <= peak(shape, replace(plan, checkpointing=False)) + begun_with * (1 + plan.holes) + rounded
    )
    assert peak(shape, replace(plan, optimiser="sgd")) <= peak(shape, replace(plan, optimiser="adamw-8bit"))
    assert peak(shape, replace(plan, optimiser="adamw-8bit")) <= peak(shape, replace(plan, optimiser="adamw"))


@given(shapes, drawn, st.floats(0.05, 1.2))
def test_the_change_that_is_named_makes_it_fit_and_none_before_it_would(
    shape: Shape, plan: plans.Plan, share: float
) -> None:
    free = int(peak(shape, plan) * share)
    every = list(changes(shape, plan))
    found = smallest(shape, plan, free)
    assert all(change.estimate.peak_bytes == peak(shape, change.plan) for change in every)
    if found is None:
        assert all(change.estimate.peak_bytes > free for change in every)
    else:
        before = every[: [change.plan for change in every].index(found.plan)]
        assert found.estimate.peak_bytes <= free
        assert all(change.estimate.peak_bytes > free for change in before)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_the_published_sizes_need_no_download(name: str, parameters: int, home: Home) -> None:
    assert memory.find(home, name).parameters == parameters


FAMILIES: dict[str, dict[str, Any]] = {
    "LlamaConfig": {"num_key_value_heads": 2, "intermediate_size": 100},
    "Qwen2Config": {"num_key_value_heads": 2, "intermediate_size": 100},
    "Qwen3Config": {"num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 100},
    "MistralConfig": {"num_key_value_heads": 4, "intermediate_size": 100},
    "GemmaConfig": {"num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 100},
    "GPTNeoXConfig": {"intermediate_size": 100},
    "PhiConfig": {"intermediate_size": 100, "num_key_value_heads": 4},
    "OPTConfig": {"ffn_dim": 100, "word_embed_proj_dim": 64},
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_config_gives_the_number_of_parameters_of_the_model_that_it_makes(kind: str) -> None:
    import torch
    import transformers

    sizes = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = getattr(transformers, kind)(**sizes, **FAMILIES[kind])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    exact = sum(part.numel() for part in model.parameters())
    # Norms of single heads and biases of a head are left out: no thousandth of a real model.
    assert of_config(kind, config.to_dict()).parameters == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "mixture"),
        ({"model_type": "mamba"}, "does not say"),
    ],
)
def test_what_the_formulas_do_not_cover_is_refused(config: dict[str, Any], why: str) -> None:
    with pytest.raises(HoneError, match=why):
        of_config("it", config)


def test_states_of_full_training_are_sixteen_bytes_a_number() -> None:
    shape = of_config("gpt2", GPT2["gpt2"])
    found = memory.estimate(shape, plans.make("sft", 1, 128, 0, adapt="full", precision="fp32"))
    states = sum(found.part(name).most_bytes for name in ("weights", "gradients", "optimiser"))
    assert states == 16 * shape.parameters


def test_the_notes_figures_hold_where_the_notes_say() -> None:
    peaks = {(c.model, c.adapt, c.length, c.device): c.estimate.peak_bytes / 1e9 for c in notes.cases()}
    assert 3 <= peaks["gpt2", "full", 512, "cpu"] <= 4
    assert 3 <= peaks["gpt2", "full", 1024, "cuda"] <= 4
    assert peaks["gpt2-large", "full", 1024, "cpu"] > 24
    assert peaks["gpt2-large", "full", 128, "cpu"] < 22
    assert peaks["gpt2-large", "qlora", 1024, "cuda"] < 6


def test_preferences_switch_dropout_off_and_so_spare_the_probabilities() -> None:
    shape = of_config("gpt2", GPT2["gpt2"])
    assert materialised(shape, plans.make("sft"))
    assert not materialised(shape, plans.make("dpo"))
    assert not materialised(shape, plans.make("sft", device="cuda"))


@pytest.mark.parametrize(
    ("words", "size"), [("24 GB", 24e9), ("24GiB", 24 * 2**30), ("RTX 3090", 24e9), ("a100-80", 80e9)]
)
def test_a_device_is_named_by_its_name_or_size(words: str, size: float) -> None:
    assert memory.named(words).free_bytes == size


def test_a_run_that_cannot_fit_is_refused_with_what_would() -> None:
    shape, device = of_config("gpt2-large", GPT2["gpt2-large"]), memory.named("t4")
    plan = plans.make("sft", 1, 1024, 0, adapt="full", precision="fp32", device="cuda")
    assert "gradient checkpointing" in advice(shape, plan, device)  # which no recipe can ask for
    with pytest.raises(HoneError) as refused:
        memory.refuse_if_too_big(shape, plan, device)
    assert "needs about 16." in str(refused.value)
    assert "It fits with LoRA in place of all weights (adapt lora)" in str(refused.value)
    with pytest.raises(HoneError, match="smaller model"):
        memory.refuse_if_too_big(shape, plan, memory.named("0.1 GB"))
    assert memory.refuse_if_too_big(shape, plan, memory.named("h100")).moment == "turn"


def call(*words: str) -> Any:
    hone = HoneGroup("hone", commands={"memory": memory_command})
    return CliRunner().invoke(hone, ["memory", *words])


def test_the_command_prints_each_part_the_sum_and_whether_it_fits() -> None:
    found = call("--model", "gpt2", "--adapt", "full", "--batch", "1", "--device", "t4")
    assert found.exit_code == 0, found.output
    assert "It fits on t4" in found.output
    shown = {
        line.split("  ")[1].strip(): line.split()[-2:] for line in found.output.splitlines() if "  " in line
    }
    assert {"weights", "gradients", "activations", "logits"} <= shown.keys()
    told = json.loads(call("--model", "gpt2", "--adapt", "full", "--device", "2 GB", "--json").output)
    assert (told["fits"], told["measured_bytes"]) == (False, None)
    assert told["change"]
    assert told["estimate"]["peak_bytes"] == sum(part["peak_bytes"] for part in told["estimate"]["parts"])


def test_an_unknown_device_is_one_sentence() -> None:
    found = call("--model", "gpt2", "--device", "abacus")
    assert found.exit_code == 2
    assert "There is no device called abacus" in found.output


def test_another_adaptation_is_told_by_how_many_numbers_it_trains() -> None:
    told = json.loads(call("--model", "gpt2", "--trainable", "1234", "--device", "t4", "--json").output)
    assert told["estimate"]["trained"] == 1234


def test_the_page_about_memory_shows_what_the_command_prints() -> None:
    assert notes.told() in (ROOT / "docs" / "memory.md").read_text("utf-8")


def test_advice_for_a_run_names_what_its_recipe_takes() -> None:
    shape = of_config("embedded", EMBEDDED)
    for method in ("classify", "kto"):
        plan = plans.make(method, 16, 512, 0, accumulation=1)
        for change in changes(shape, plan, RUNS):
            own = {"batch": change.plan.batch, "accumulation": change.plan.accumulation, "method": method}
            adapt = change.plan.adapt if change.plan.adapt == "frozen" else "lora"
            recipes.Recipe(**own, adapt=adapt)  # which refuses what cannot be


def test_a_frozen_trunk_needs_the_least_and_more_for_more_texts() -> None:
    shape = of_config("embedded", EMBEDDED)

    def gb(adapt: plans.Adapt, texts: int = 2_000) -> float:
        return peak(shape, plans.make("classify", 16, 64, 0, adapt=adapt, accumulation=1, texts=texts)) / 1e9

    assert gb("frozen") < gb("lora") < gb("full")
    # Each text's 576 numbers: as read, in fp64, less their mean, and standardised.
    assert gb("frozen", 300_000) - gb("frozen", 200_000) == pytest.approx(100_000 * 576 * 28 / 1e9, rel=0.001)


def test_a_frozen_trunk_is_counted_in_the_bits_it_is_kept_in() -> None:
    shape, recipe = of_config("embedded", EMBEDDED), recipes.load("classify-frozen")

    def found(quantization: str, texts: int = 60_000) -> memory.Estimate:
        plan = plans.of_recipe(recipe, "bf16", quantization, "cpu")
        assert (plan.adapt, plan.trunk) == ("frozen", quantization)
        assert plan.load.tokens == (1024 if quantization == "int8" else 2048)
        return memory.estimate(shape, replace(plan, texts=texts))

    matrices = shape.matrix_parameters
    kept = {how: found(how).part("weights").most_bytes for how in plans.TRUNKS}
    assert kept["none"] - kept["int8"] == pytest.approx(matrices, rel=1e-3)
    assert kept["none"] - kept["nf4"] == pytest.approx(matrices * (2 - 4.127 / 8), rel=1e-3)
    assert found("nf4").moment == "fitting"
    # With few texts it is largest while it is loaded, from a file of whole numbers.
    assert (found("nf4", 100).moment, found("none", 100).moment) == ("loading", "reading")
    assert found("nf4", 100).part("working").peak_bytes == 2 * shape.parameters


def test_a_classifier_s_recipe_is_planned_as_it_runs() -> None:
    plan = plans.of_recipe(recipes.load("classify-frozen"), "bf16", "none", "cpu")
    assert (plan.adapt, plan.load.tokens) == ("frozen", 2048)
    told = json.loads(call("--method", "classify", "--json").output)
    assert told["plan"]["accumulation"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--adapt", "frozen"), "sft trains no frozen model. A classifier alone does."),
        (("--method", "classify", "--accumulation", "2"), "takes a step at each batch"),
        (("--quantize", "nf4"), "Write --adapt qlora"),
    ],
)
def test_what_classifiers_alone_can_do_is_said(words: tuple[str, ...], said: str) -> None:
    found = call(*words)
    assert (found.exit_code, said in found.output) == (2, True)


@pytest.mark.parametrize(
    ("method", "adapt"),
    [("sft", "lora"), ("rlhf", "lora"), ("classify", "frozen"), ("classify", "lora"), ("classify", "full")],
)
def test_measuring_comes_within_15_percent_of_the_estimate(
    method: plans.Method, adapt: plans.Adapt, tmp_path: Path, home: Home
) -> None:
    """A small Llama, large enough that what it trains on stands beside the libraries."""
    tiny_models.save_llama(tmp_path, window=512)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 12, "vocab_size": 30_000}
    (tmp_path / "config.json").write_text(json.dumps(config | {"head_dim": 32, "initializer_range": 0.02}))
    (tmp_path / "model.safetensors").unlink()  # so that weights of the new sizes are drawn
    sizes = {"precision": "fp32", "cuda_build": plans.built_for_cuda(), "accumulation": 1}
    plan = plans.make(method, 4, 512, 448, adapt=adapt, **sizes)
    found = peak(memory.find(home, str(tmp_path)), plan)
    assert measure.measured_bytes(home, str(tmp_path), plan) == pytest.approx(found, rel=0.15)


def test_a_plan_that_no_trainer_runs_is_not_measured(home: Home) -> None:
    with pytest.raises(HoneError, match="only estimated"):
        measure.measured_bytes(home, "embedded", plans.make("dpo", adapt="full"))


@pytest.mark.slow
@pytest.mark.skipif(
    machine.choose()[1] != "bfloat16",
    reason="what docs/memory.md claims was measured on CPUs that compute in bfloat16, and in nothing else",
)
@pytest.mark.parametrize(
    ("method", "length"),
    [("sft", 192), ("clm", 96), ("dpo", 192), ("kto", 96), ("reward", 192), ("rlhf", 192), ("classify", 192)],
)
def test_every_method_on_the_embedded_model_is_within_15_percent(
    method: plans.Method, length: int, home: Home
) -> None:
    precision = plans.precision_of(machine.choose()[1])
    sizes = {"precision": precision, "cuda_build": plans.built_for_cuda()}
    plan = plans.make(method, 4, length, length // 2, **sizes)
    found = peak(memory.find(home, "embedded"), plan)
    assert measure.measured_bytes(home, "embedded", plan) == pytest.approx(found, rel=0.15)


@given(
    st.integers(1, 6), st.integers(2, 5), st.integers(1, 4),
    st.lists(st.integers(8, 90), min_size=24, max_size=30), st.integers(1, 40), st.randoms(),
)  # fmt: skip
def test_no_batch_of_written_answers_is_larger_than_the_plan_says(
    groups: int, answers: int, accumulation: int, lengths: list[int], answer: int, dice: random.Random
) -> None:
    """As TRL makes batches: all answers of a step, shuffled, then cut."""
    batch = groups * answers
    asked = dice.sample(lengths, groups * accumulation)
    written = [prompt for prompt in range(len(asked)) for _ in range(answers)]
    dice.shuffle(written)
    planned = plans.written(batch, accumulation, answers, lengths, answer)
    for begin in range(0, len(written), batch):
        part = written[begin : begin + batch]
        assert sum(asked[prompt] for prompt in set(part)) + answer * batch <= planned.tokens


def test_a_rewarded_policy_has_the_reward_model_beside_it_and_a_rule_has_none() -> None:
    shape, plan = of_config("embedded", EMBEDDED), plans.make("rlhf", 8, 128, 96)
    scored, ruled = memory.estimate(shape, plan), memory.estimate(shape, replace(plan, rewarded=False))
    assert scored.part("reward").peak_bytes > shape.parameters * 2
    assert ruled.part("reward").peak_bytes == 0
    told = plans.of_recipe(recipes.Recipe(method="rlhf", reward="rule:concise"), "bf16", "none", "cpu")
    assert not told.rewarded


def test_pairs_of_a_reward_model_read_their_prompt_once() -> None:
    assert plans.make("reward", 4, 256, 128).load.tokens == plans.make("dpo", 4, 256, 128).load.tokens
