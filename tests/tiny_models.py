"""Builds the smallest models that behave like real ones: random weights, a tokenizer trained on two
sentences.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from assistant import embedded
from assistant.base import Base
from assistant.checksums import sha256_of
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.ids import ModelVersionId
from feedback.store import now

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|start|>' + message['role'] + '\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
)
CORPUS = [
    "The cat sat on the mat, and the dog looked at the cat.",
    "Who are you? I am a small model.\n",
] * 4


def save_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> int:
    """A byte-level BPE tokenizer (any text round-trips); returns its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<|start|>", eos_token="<|end|>")
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_llama(folder: Path, seed: int = 0, window: int = 512, width: int = 32) -> None:
    """Two layers, untied random weights spread widely enough that its choices differ."""
    from transformers import LlamaConfig

    _save_random(
        folder, LlamaConfig, seed, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=window, initializer_range=0.3,
    )  # fmt: skip


def save_sliding(folder: Path) -> None:
    """A Mistral that sees the last eight tokens only."""
    from transformers import MistralConfig

    _save_random(
        folder, MistralConfig, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, sliding_window=8,
        initializer_range=0.3,
    )  # fmt: skip


def save_recurrent(folder: Path) -> None:
    """A Mamba: it keeps states instead of keys and values."""
    from transformers import MambaConfig

    _save_random(
        folder, MambaConfig, hidden_size=32, num_hidden_layers=2, state_size=8, initializer_range=0.3
    )


def save_opt(folder: Path) -> None:
    """An OPT: its layers see rows and tokens as one, so adapters cannot be mixed in it."""
    from transformers import OPTConfig

    _save_random(
        folder, OPTConfig, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, word_embed_proj_dim=32, init_std=0.3,
    )  # fmt: skip


def save_gpt2(folder: Path) -> None:
    """GPT-2 in small: learnt positions, and no chat template."""
    from transformers import GPT2Config

    _save_random(
        folder, GPT2Config, chat_template=None, pad_token_id=None,
        n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.3,
    )  # fmt: skip


def _save_random(
    folder: Path,
    kind: Callable[..., "PreTrainedConfig"],
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    pad_token_id: int | None = 1,
    **sizes: Any,
) -> None:
    """A model of this kind and these sizes with random weights in float32, and a tokenizer for it."""
    import torch
    from transformers import AutoModelForCausalLM

    config = kind(
        vocab_size=save_tokenizer(folder, chat_template),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=pad_token_id,
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


def tiny_base(folder: Path) -> Base:
    """The base in `folder`, made there: float32, so that two ways of computing can be compared closely."""
    save_llama(folder)
    return Base("tiny-llama", "tiny-llama", folder, "float32", "none", "cpu", "Used in tests.")


def save_as_embedded(home: Home) -> None:
    """A tiny model where this home unpacks the embedded one to: every command takes it for that one."""
    folder = home.bases / embedded.ID
    folder.parent.mkdir(parents=True)
    save_llama(folder, window=8192)
    files = {file.name: sha256_of(file) for file in folder.iterdir()}
    told = {"gguf_sha256": embedded.GGUF_SHA256, "files": files}
    (folder / "prepared.json").write_text(json.dumps(told))


def save_adapter(base: Base, folder: Path, seed: int = 0, strength: float = 0.5, **more: Any) -> Path:
    """A LoRA adapter that changes what the base says, as PEFT writes it. `more`: settings of PEFT's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _adapter_files(base, seed, strength, json.dumps(more)).items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _adapter_files(base: Base, seed: int, strength: float, more: str) -> dict[str, bytes]:
    """The files of an adapter by name; one takes a model to make, and most tests want the same ones."""
    import torch
    from peft import LoraConfig, get_peft_model

    from assistant.base import load_model

    with torch.random.fork_rng(), TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        chosen = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
        model = get_peft_model(load_model(base), LoraConfig(**chosen | json.loads(more)))
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=strength)
        model.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def base_version(base: Base) -> ModelVersion:
    """The base itself as a version, for engine tests that need no store."""
    from assistant.base import chat_template

    version_id = ModelVersionId("mv_base")
    return ModelVersion(version_id, base.id, base.id, None, None, None, chat_template(base).sha256, now())


def add_bos(folder: Path) -> None:
    """Make the tokenizer of a base put its begin token before every text, and its template too."""
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text())
    begin = {"SpecialToken": {"id": "<|start|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    told["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text],
        "special_tokens": {"<|start|>": {"id": "<|start|>", "ids": [0], "tokens": ["<|start|>"]}},
    }
    file.write_text(json.dumps(told))


def fake_adapter(folder: Path) -> Path:
    """The two files of an adapter, for tests that never load it."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder
