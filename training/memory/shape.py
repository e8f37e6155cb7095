"""A model's sizes, as far as memory hangs on them: from a config alone, without torch and without weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assistant import base as bases
from assistant import embedded
from assistant.base import BaseChoice
from feedback.errors import HoneError
from feedback.home import Home

Norm = Literal["rms", "layer"]

GPT2 = {
    name: {
        "model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": 1024,
        "vocab_size": 50257, "activation_function": "gelu_new", "attn_pdrop": 0.1, "resid_pdrop": 0.1,
        "embd_pdrop": 0.1, "tie_word_embeddings": True,
    }
    for name, layers, width, heads in (
        ("gpt2", 12, 768, 12), ("gpt2-medium", 24, 1024, 16), ("gpt2-large", 36, 1280, 20),
        ("gpt2-xl", 48, 1600, 25),
    )
}  # fmt: skip
"""The published sizes (Radford et al., 2019, table 2), so that these names need no download."""

EMBEDDED = {
    "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "num_attention_heads": 9,
    "num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
"""SmolLM2-135M, so that the embedded model need not be unpacked to be told of."""

PLAIN_MLP = (
    "gpt2",
    "gpt_neox",
    "gptj",
    "gpt_neo",
    "opt",
    "phi",
    "bloom",
    "gpt_bigcode",
    "codegen",
    "starcoder2",
)
"""Families whose feed-forward part has two matrices; all others have a gate beside, as Llama."""
LAYER_NORM = (*PLAIN_MLP, "falcon", "stablelm", "cohere", "mpt")
FUSED = ("gpt2", "gpt_neox", "bloom", "gpt_bigcode", "falcon")
"""Families in which one matrix makes queries, keys and values."""
BIASED = ("gpt2", "gpt_neox", "opt", "phi", "bloom", "gpt_bigcode", "starcoder2")
ONE_NORM = ("phi", "gptj", "codegen", "cohere")
"""Families in which attention and feed-forward part read the same normalised states."""
LEARNT_POSITIONS = ("gpt2", "gpt_neo", "gpt_bigcode", "opt")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True)
class Shape:
    """A decoder-only transformer.

    `width`: of the hidden states, h. `inner`: of the feed-forward part, i. `heads` and `key_heads` are
    `head_size` wide each. `positions`: rows of a learnt table, 0 for none. `norms`: per layer. `biased_qkv`,
    `biased`: whether queries, keys and values, and whether all other matrices, have a bias.
    `attention_dropout`, `hidden_dropout`: whether the config asks for any while training. `transposed`:
    matrices lie (in, out), as in GPT-2's own layers. `llama`: of the family that OpenVINO's graph
    computes.
    """

    name: str
    layers: int
    width: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    vocabulary: int
    positions: int = 0
    gated: bool = True
    activation: str = "silu"
    norm: Norm = "rms"
    norms: int = 2
    fused_qkv: bool = False
    biased_qkv: bool = False
    biased: bool = False
    tied: bool = True
    attention_dropout: bool = False
    hidden_dropout: bool = False
    transposed: bool = False
    llama: bool = False

    @property
    def attention_width(self) -> int:
        """a: all heads side by side."""
        return self.heads * self.head_size

    @property
    def key_width(self) -> int:
        return self.key_heads * self.head_size

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each matrix of one layer."""
        h, a, k, i = self.width, self.attention_width, self.key_width, self.inner
        qkv = ((h, a + 2 * k),) if self.fused_qkv else ((h, a), (h, k), (h, k))
        return (*qkv, (a, h), *(((h, i), (h, i)) if self.gated else ((h, i),)), (i, h))

    @property
    def matrix_parameters(self) -> int:
        """In the matrices of all layers: what quantisation makes small."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices)

    @property
    def parameters(self) -> int:
        """All of the model's."""
        h, norm = self.width, self.width * (2 if self.norm == "layer" else 1)
        biases = (self.attention_width + 2 * self.key_width) * self.biased_qkv
        biases += (self.inner * (2 if self.gated else 1) + 2 * h) * self.biased
        tables = self.vocabulary * h * (1 if self.tied else 2) + self.positions * h
        return tables + self.matrix_parameters + self.layers * (biases + self.norms * norm) + norm

    @property
    def largest_tensor(self) -> int:
        """Numbers in the largest one."""
        return max(self.vocabulary * self.width, *(rows * columns for rows, columns in self.matrices))

    def lora_parameters(self, rank: int) -> int:
        """r (in + out) for each matrix of the layers (Hu et al., 2021, section 4.1)."""
        return self.layers * rank * sum(rows + columns for rows, columns in self.matrices)


def of_config(name: str, config: Mapping[str, Any]) -> Shape:
    """The shape that a config.json (or transformers' `config.to_dict()`) describes.

    HoneError for what this estimate does not cover: mixtures of experts, and what is no such transformer.
    """
    told = {**config, **(config.get("text_config") or {})}
    kind = str(told.get("model_type", ""))
    if any((told.get(key) or 0) > 1 for key in EXPERTS):
        raise HoneError(
            f"The memory of {name} cannot be estimated.", "It is a mixture of experts.", "Measure it."
        )
    try:
        width, heads = (
            _first(told, "hidden_size", "n_embd", "d_model"),
            _first(told, "num_attention_heads", "n_head"),
        )
        layers, vocabulary = (
            _first(told, "num_hidden_layers", "n_layer", "n_layers"),
            _first(told, "vocab_size"),
        )
    except KeyError as error:
        raise HoneError(
            f"The memory of {name} cannot be estimated.",
            f"Its config does not say {error.args[0]}.",
            "Name a decoder-only transformer.",
        ) from error
    bias = bool(told.get("attention_bias")) or kind in ("qwen2", *BIASED)
    dropouts = [told.get(key) or 0 for key in ("resid_pdrop", "hidden_dropout", "dropout")]
    return Shape(
        name=name,
        layers=layers,
        width=width,
        heads=heads,
        key_heads=told.get("num_key_value_heads") or heads,
        head_size=told.get("head_dim") or width // heads,
        inner=_first(told | {"": 4 * width}, "intermediate_size", "n_inner", "ffn_dim", ""),
        vocabulary=vocabulary,
        positions=_positions(told, kind),
        gated=kind not in PLAIN_MLP and kind != "falcon",
        activation=_said(told, ("hidden_act", "activation_function", "hidden_activation"), "silu"),
        norm="layer" if kind in LAYER_NORM else "rms",
        norms=1 if kind in ONE_NORM else 2,
        transposed=kind == "gpt2",
        llama=kind == "llama",
        fused_qkv=kind in FUSED,
        biased_qkv=bias,
        biased=kind in BIASED or bool(told.get("mlp_bias")),
        tied=bool(told.get("tie_word_embeddings", kind in ("gpt2", "opt", "bloom", "gemma", "gemma2"))),
        attention_dropout=any((told.get(key) or 0) > 0 for key in ("attn_pdrop", "attention_dropout")),
        hidden_dropout=any(value > 0 for value in dropouts),
    )


def _first(told: Mapping[str, Any], *names: str) -> int:
    """The first of these that is a number; KeyError with the first name."""
    for name in names:
        if isinstance(told.get(name), int):
            return int(told[name])
    raise KeyError(names[0])


def _said(told: Mapping[str, Any], names: tuple[str, ...], otherwise: str) -> str:
    return next((str(told[name]) for name in names if told.get(name)), otherwise)


def _positions(told: Mapping[str, Any], kind: str) -> int:
    if kind not in LEARNT_POSITIONS:
        return 0
    rows = _first(told, "n_positions", "max_position_embeddings")
    return rows + 2 if kind == "opt" else rows  # OPT's table begins with two rows that no token takes


def find(home: Home, model: str) -> Shape:
    """The shape of a model by name: embedded, gpt2 (and -medium, -large, -xl), a folder, or a Hub id."""
    if model == "embedded":
        return of_config("the embedded model", EMBEDDED)
    if model in GPT2:
        return of_config(model, GPT2[model])
    return of_folder(Path(model).name, folder_of(home, model))


def of_folder(name: str, folder: Path) -> Shape:
    """The shape of the model in a folder, of which only config.json is read."""
    return of_config(name, json.loads((folder / "config.json").read_text("utf-8")))


def folder_of(home: Home, model: str) -> Path:
    """The folder that holds a model's config.json; weights need not be there. HoneError for an unknown
    model."""
    folder = Path(model).expanduser()
    if model == "embedded":
        return embedded.prepare(home)[0]
    return folder if (folder / "config.json").is_file() else bases.resolve(home, BaseChoice(model)).folder
