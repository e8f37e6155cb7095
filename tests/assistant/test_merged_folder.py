"""A version as a folder: any program computes with it what the engine does with the adapter beside."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM

from assistant import base as bases
from assistant import device, registry
from assistant.adapters import stored
from assistant.adapters.families import Kept
from assistant.base import Base, BaseChoice
from assistant.commands import models
from assistant.engines.interface import Answered
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models


@pytest.fixture
def based(home: Home, tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The tiny base under the id that a person's --model gives it, in float32 on every machine."""
    monkeypatch.setattr(device, "choose", lambda: ("cpu", "float32", "in tests"))
    return bases.resolve(home, BaseChoice(str(tiny_base.folder), "none"))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


STEM = "model.layers.0."
KINDS: dict[str, tuple[Kept, dict[str, Any], dict[str, torch.Tensor]]] = {
    "weights": ("weights", {"family": "layers"}, {f"{STEM}mlp.up_proj.weight": noise(64, 32)}),
    "norms": ("weights", {"family": "layer-norm"}, {f"{STEM}input_layernorm.weight": noise(32)}),
    "biases": (
        "weights",
        {"family": "bias"},
        {f"{STEM}self_attn.q_proj.bias": noise(32), f"{STEM}mlp.down_proj.bias": noise(32)},
    ),
    "factors": (
        "ia3",
        {},
        {
            f"base_model.model.{STEM}self_attn.k_proj.ia3_l": noise(16, 1),
            f"base_model.model.{STEM}mlp.down_proj.ia3_l": noise(1, 64),
        },
    ),
}


def made(kind: str, base: Base, folder: Path) -> Path:
    if kind in ("lora", "dora"):
        return tiny_models.save_adapter(base, folder, use_dora=kind == "dora")
    stored.write(folder, *KINDS[kind])
    return folder


def merged(home: Home, version: ModelVersion, base: Base, to: Path) -> Any:
    given = ["merge", version.name, "--to", str(to), "--model", str(base.folder), "--home", str(home.path)]
    return CliRunner().invoke(models, given)


@pytest.mark.parametrize("kind", ["lora", "dora", *KINDS])
def test_a_merged_folder_says_what_the_version_says(
    kind: str, based: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    version = registry.add(store, home, based, made(kind, based, tmp_path / "a"), None, "v")
    done = merged(home, version, based, tmp_path / "merged")
    assert done.exit_code == 0, done.output
    engine, alone = TorchEngine(based, home), AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    asked = Answered("The cat", " sat on the mat", ended=False)
    (said,), (plain,) = (engine.logprobs([asked], one) for one in (version, tiny_models.base_version(based)))
    engine.close()
    tokenizer = bases.load_tokenizer(based)
    prompt, answer = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("The cat", asked.answer)
    )
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        scores = alone(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    told = float(scores.gather(1, ids[0, len(prompt) :, None]).sum())
    assert told == pytest.approx(said.total_nats, abs=1e-3)
    assert told != pytest.approx(plain.total_nats, abs=0.5)


def test_a_soft_prompt_is_refused_with_the_reason(
    based: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    stored.write(folder, "prompt", {"num_virtual_tokens": 2}, {"prompt_embeddings": noise(2, 32)})
    version = registry.add(store, home, based, folder, None, "v")
    done = merged(home, version, based, tmp_path / "merged")
    assert done.exit_code == 2
    assert "a soft prompt is read like text" in done.output
    assert not (tmp_path / "merged").exists()


def test_biases_that_an_architecture_has_no_place_for_are_refused(
    home: Home, store: Store, tmp_path: Path
) -> None:
    tiny_models.save_sliding(tmp_path / "mistral")
    base = bases.resolve(home, BaseChoice(str(tmp_path / "mistral"), "none"))
    version = registry.add(store, home, base, made("biases", base, tmp_path / "a"), None, "v")
    done = merged(home, version, base, tmp_path / "merged")
    assert done.exit_code == 2
    assert "a mistral has no place for them" in done.output
    assert json.loads((base.folder / "config.json").read_text())["model_type"] == "mistral"
