"""Every family of changes: trained, kept, and answered as by both engines as its trainer would."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant import base as bases
from assistant import registry
from assistant.adapters import stored
from assistant.adapters.families import FAMILIES
from assistant.base import Base, BaseChoice
from assistant.engines.choose import choose
from assistant.engines.interface import Answered, Engine, Request
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage
from tests import tiny_models
from training import adaptations, own_changes, trainers
from training.data import Row
from training.recipes import Recipe
from training.trainers import Hooks, Job

TEXTS = [("The cat", " sat on the mat"), ("Who are you?", " I am a small model"), ("the dog", " looked")]
ASKED = [Answered(prompt, answer, ended=False) for prompt, answer in TEXTS]
RATES = {"full": 1e-3, "layers": 1e-3}
QUIET = Hooks(lambda *_: None, lambda *_: None, lambda *_: None)


def recipe(family: str, method: str = "sft", **more: Any) -> Recipe:
    return Recipe(
        method=method, adapt=family, learning_rate=RATES.get(family, 3e-2), batch=3, accumulation=1,
        epochs=6, save_every=2, lora_rank=4, lora_alpha=8, virtual_tokens=3, bottleneck_size=4,
        layers="last-1", **more,
    )  # fmt: skip


def rows(tokenizer: Any, method: str) -> list[Row]:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    rejected = ids(" no no no") if method == "dpo" else ()
    return [Row(ids(prompt), ids(answer), rejected) for prompt, answer in TEXTS]


@dataclass
class Trained:
    """What came out of a run, and what its model said of the answers at the end, in nats."""

    folder: Path
    said: list[float]
    losses: list[float]


@torch.no_grad()
def nats(model: Any, row: Row) -> float:
    ids = torch.tensor([[*row.prompt_ids, *row.chosen_ids]])
    scores = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -ids.shape[1] :].float()
    within = scores[len(row.prompt_ids) - 1 : -1].log_softmax(-1)
    return float(within.gather(1, ids[0, len(row.prompt_ids) :, None]).sum())


@pytest.fixture
def train(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trained]:
    write = adaptations.write
    torch.set_num_threads(1)  # the model is so small that threads wait for each other

    def trained(
        how: Recipe, start: Path | None = None, hooks: Hooks = QUIET, run: str = "run", **loaded: Any
    ) -> Trained:
        base = dataclasses.replace(tiny_base, **loaded)
        tokenizer = bases.load_tokenizer(base)
        known = rows(tokenizer, how.method)
        found: dict[str, Any] = {"said": [], "losses": []}

        def watched(model: Any, own: Any, folder: Path) -> None:
            model.eval()
            found["said"] = [nats(model, row) for row in known]
            write(model, own, folder)

        def noted(step: int, values: dict[str, float]) -> None:
            found["losses"] += [values["loss"]] if "loss" in values else []
            hooks.on_metrics(step, values)

        monkeypatch.setattr(adaptations, "write", watched)
        model = bases.load_model(adaptations.base_for(how, base))
        job = Job(model, tokenizer, known, how, tmp_path / run, start, "cpu")
        method = trainers.train_dpo if how.method == "dpo" else trainers.train_sft
        folder = method(job, Hooks(hooks.on_step, noted, hooks.on_reference))
        return Trained(folder, found["said"], found["losses"])

    return trained


def kept(store: Store, home: Home, base: Base, folder: Path) -> ModelVersion:
    return registry.add(store, home, base, folder, None, "adapted")


def said_by(engine: Engine, version: ModelVersion) -> list[float]:
    return [one.total_nats for one in engine.logprobs(ASKED, version)]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_trained_is_what_both_engines_serve_where_it_merges(
    family: str, train: Callable[..., Trained], tiny_base: Base, home: Home, store: Store
) -> None:
    made = train(recipe(family))
    version, plain = kept(store, home, tiny_base, made.folder), tiny_models.base_version(tiny_base)
    engine = TorchEngine(tiny_base, home)
    try:
        before = said_by(engine, plain)
        assert sum(made.said) > sum(before) + 0.5
        assert said_by(engine, version) == pytest.approx(made.said, abs=2e-3)
        assert said_by(engine, plain) == before  # nothing is left of it
    finally:
        engine.close()
    served = OpenVinoEngine(tiny_base, home)
    try:
        if not FAMILIES[family].merges:
            with pytest.raises(
                HoneError, match=r"OpenVINO cannot answer as adapted-1.*--engine transformers"
            ):
                served.load(version)
            chosen = choose(tiny_base, BaseChoice(), registry.folder(home, version))
            assert chosen.name == "transformers"
            return
        said = said_by(served, version)
    finally:
        served.close()
    moved = [abs(one - other) for one, other in zip(made.said, before, strict=True)]
    off = [abs(one - other) for one, other in zip(made.said, said, strict=True)]
    assert sum(off) < 0.25 * sum(moved)  # of 8 bits, in a model of 32 columns


def watched_margins(found: list[float]) -> Hooks:
    return Hooks(
        ignore, lambda _, values: found.extend([values["margin"]] if "margin" in values else []), ignore
    )


def ignore(*_: object) -> None:
    """Of no interest here."""


@pytest.mark.parametrize("family", FAMILIES)
def test_preferences_are_learnt_and_a_second_round_refers_to_the_first(
    family: str, train: Callable[..., Trained]
) -> None:
    margins: list[float] = []
    first = train(recipe(family, "dpo"), hooks=watched_margins(margins))
    assert margins[-1] > margins[0] + 0.01
    if FAMILIES[family].kind != "soft prompt":  # at its first step the policy is the reference
        assert margins[0] == pytest.approx(0, abs=1e-4)
    if family in ("rslora", "dora", "adalora", "p-tuning", "layer-norm"):
        return  # kept and gone on from as one of the others is
    margins.clear()
    second = train(recipe(family, "dpo", max_steps=3), first.folder, watched_margins(margins), "second")
    assert margins[0] == pytest.approx(0, abs=1e-4)  # the reference is the champion, not the base
    assert margins[-1] > 0.01
    assert stored.read(second.folder).family == family


@pytest.mark.parametrize("family", ["full", "layers", "layer-norm", "bias", "bottleneck", "ia3", "prompt"])
def test_on_a_base_in_16_bits_steps_are_kept_that_16_bits_would_lose(
    family: str, train: Callable[..., Trained], tiny_base: Base, home: Home, store: Store
) -> None:
    """And the engine, in 16 bits as well, says what the trainer said."""
    made = train(recipe(family, max_steps=1), dtype="bfloat16")
    tensors = load_file(made.folder / stored.TENSORS)
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    assert any((tensor != tensor.bfloat16().float()).any() for tensor in tensors.values())
    base = dataclasses.replace(tiny_base, dtype="bfloat16")
    engine = TorchEngine(base, home)
    try:
        assert said_by(engine, kept(store, home, base, made.folder)) == pytest.approx(made.said, rel=0.03)
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("family", "quantization"), [(name, how) for name, one in FAMILIES.items() for how in one.quantised]
)
def test_what_trains_on_a_quantised_base_is_served_on_it(
    family: str, quantization: str, train: Callable[..., Trained], tiny_base: Base, home: Home, store: Store
) -> None:
    wide = home.path.with_name("wide")
    tiny_models.save_llama(wide, width=64)  # bitsandbytes wants 64 columns
    loaded = {"quantization": quantization, "dtype": "bfloat16", "folder": wide}
    made = train(recipe(family, max_steps=2), **loaded)
    base = dataclasses.replace(tiny_base, **loaded)
    engine = TorchEngine(base, home)
    try:
        assert said_by(engine, kept(store, home, base, made.folder)) == pytest.approx(made.said, rel=0.03)
    finally:
        engine.close()


@pytest.mark.parametrize("family", ["adalora", "bias", "prompt"])
def test_an_interrupted_run_goes_on_from_what_it_had(family: str, train: Callable[..., Trained]) -> None:
    def stop_at(last: int) -> Callable[[int, int], None]:
        def watch(step: int, _: int) -> None:
            if step == last:
                raise InterruptedError

        return watch

    whole = train(recipe(family), run="whole")
    with pytest.raises(InterruptedError):
        train(recipe(family), hooks=Hooks(stop_at(5), ignore, ignore), run="broken")
    steps: list[int] = []
    mended = train(
        recipe(family), hooks=Hooks(lambda step, _: steps.append(step), ignore, ignore), run="broken"
    )
    assert steps[0] == 4  # saved every two
    assert mended.said == pytest.approx(whole.said, abs=0.5 if family == "adalora" else 1e-3)


def test_a_champion_of_another_family_is_refused_in_words(train: Callable[..., Trained]) -> None:
    folder = train(recipe("bias")).folder
    with pytest.raises(HoneError, match=r"cannot go on from sft-1 by lora.*adapted by bias.*--adapt bias"):
        adaptations.check_start(recipe("lora"), folder, "sft-1")
    adaptations.check_start(recipe("bias"), folder, "sft-1")


def test_a_quantised_base_is_refused_by_what_trains_its_weights(tiny_base: Base) -> None:
    quantised = dataclasses.replace(tiny_base, quantization="nf4")
    with pytest.raises(HoneError, match="cannot be trained by full"):
        adaptations.base_for(recipe("full"), quantised)
    assert adaptations.base_for(recipe("lora"), quantised) == quantised


@pytest.mark.parametrize(("layers", "found"), [("last-2", [3, 4]), ("first-1", [0]), ("4,0", [0, 4])])
def test_layers_are_named_from_either_end_or_by_number(layers: str, found: list[int]) -> None:
    assert own_changes.chosen_layers(layers, 5) == found


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 4"):
        own_changes.chosen_layers("last-6", 5)


def test_versions_of_every_family_answer_side_by_side_as_each_would_alone(
    train: Callable[..., Trained], tiny_base: Base, home: Home, store: Store
) -> None:
    versions = [tiny_models.base_version(tiny_base)]
    for family in ("lora", "ia3", "bias", "bottleneck", "prompt", "prefix"):
        folder = train(recipe(family), run=family).folder
        versions.append(registry.add(store, home, tiny_base, folder, None, family))
    engine = TorchEngine(tiny_base, home)
    requests = [
        Request(engine.template.text([ChatMessage("user", question)]), Sampling(0.0, 1.0, 12, 0), version)
        for question in ("Who are you?", "the cat looked at you and at the mat")
        for version in versions
    ]
    try:
        alone = [engine.batch([request])[0].text for request in requests]
        assert len(set(alone)) > len(versions)
        assert [one.text for one in engine.batch(requests)] == alone
    finally:
        engine.close()
