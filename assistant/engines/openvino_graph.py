"""A Llama's computation as an OpenVINO graph over paged keys and values. Knows weights; no request, no text.

Tokens of many sequences stand in one row of N tokens, as in vLLM: a sequence's new tokens lie side by side,
`subsequence_begins` says where, and its earlier ones are found in blocks of the cache. Weights stay in 8
bits; the plugin multiplies them as they are.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from openvino.op import _PagedAttentionExtension as PagedAttention

from assistant.engines.eight_bit import SMALL_GROUP, EightBit, EightBitFile

INPUTS = (
    "input_ids", "position_ids", "past_lens", "subsequence_begins", "block_indices", "block_indices_begins",
    "max_context_len", "wanted",
)  # fmt: skip
"""Beside `key_cache.L` and `value_cache.L` for each layer. `wanted`: tokens whose logits are asked for."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama, from its config.json. `window`: positions it was made for."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    window: int
    norm_epsilon: float
    rope_theta: float


def read_shape(folder: Path) -> Shape | str:
    """The shape of the model in `folder`, or the reason why this graph cannot compute it."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    biased = [key for key in ("attention_bias", "mlp_bias") if config.get(key)]
    if config.get("model_type") != "llama":
        return f"it is a {config.get('model_type', 'model of unknown type')}, not a Llama"
    if rope_type != "default" or biased or config.get("hidden_act", "silu") != "silu":
        return f"it is a Llama of another build ({', '.join(biased) or rope_type})"
    if "quantization_config" in config:
        return "its weights are quantised in a way of their own"
    heads, width = config["num_attention_heads"], config["hidden_size"]
    head_width = config.get("head_dim") or width // heads
    if any(size % SMALL_GROUP for size in (width, config["intermediate_size"], heads * head_width)):
        return f"its rows cannot be cut into groups of {SMALL_GROUP}"
    return Shape(
        layers=config["num_hidden_layers"],
        width=width,
        inner=config["intermediate_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=head_width,
        vocabulary=config["vocab_size"],
        window=config["max_position_embeddings"],
        norm_epsilon=config.get("rms_norm_eps", 1e-6),
        rope_theta=rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
    )


def build(shape: Shape, weights: EightBitFile) -> ov.Model:
    """The graph: `INPUTS` and caches in, logits float32 (wanted, 1, vocabulary) out."""
    return _Builder(shape, weights).model()


class _Builder:
    def __init__(self, shape: Shape, weights: EightBitFile) -> None:
        self._shape, self._weights = shape, weights
        types = (ov.Type.i64, ov.Type.i64, *[ov.Type.i32] * 5, ov.Type.i64)
        sizes: tuple[list[int], ...] = ([-1], [-1], [-1], [-1], [-1], [-1], [], [-1])
        self._parameters = [
            _named(name, op.parameter(size, kind))
            for name, kind, size in zip(INPUTS, types, sizes, strict=True)
        ]
        self._in = dict(zip(INPUTS, self._parameters, strict=True))

    def model(self) -> ov.Model:
        embedding = self._matrix("model.embed_tokens.weight")
        x = op.gather(embedding, self._in["input_ids"], _i32(0))
        x = op.unsqueeze(x, _i64([1]))  # (N, 1, width): what follows was written for (batch, time, width)
        turns = self._rotations()
        for layer in range(self._shape.layers):
            stem = f"model.layers.{layer}."
            x = op.add(x, self._attention(stem, layer, self._norm(x, f"{stem}input_layernorm"), turns))
            x = op.add(x, self._inner(stem, self._norm(x, f"{stem}post_attention_layernorm")))
        x = self._norm(op.gather(x, self._in["wanted"], _i32(0)), "model.norm")
        head = self._matrix("lm_head.weight") if "lm_head.weight" in self._weights else embedding
        return ov.Model([op.matmul(x, head, False, True)], self._parameters, "hone")

    def _matrix(self, *names: str) -> Any:
        return _weights_of(self._weights.matrix(*names))

    def _linear(self, x: Any, *names: str) -> Any:
        """`x` times these matrices, one below the other, and their biases: a version may have added some."""
        product = op.matmul(x, self._matrix(*(f"{name}.weight" for name in names)), False, True)
        if not any(f"{name}.bias" in self._weights for name in names):
            return product
        return op.add(product, op.constant(np.concatenate([self._bias(name) for name in names])))

    def _bias(self, name: str) -> Any:
        if f"{name}.bias" in self._weights:
            return self._weights.vector(f"{name}.bias")
        return np.zeros(len(self._weights.matrix(f"{name}.weight").values), np.float32)

    def _norm(self, x: Any, name: str) -> Any:
        """RMSNorm, Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467, equation 4."""
        mean = op.reduce_mean(op.power(x, _f32(2)), _i64([-1]), True)
        scaled = op.multiply(x, op.divide(_f32(1), op.sqrt(op.add(mean, _f32(self._shape.norm_epsilon)))))
        return op.multiply(op.constant(self._weights.vector(f"{name}.weight").reshape(1, 1, -1)), scaled)

    def _rotations(self) -> tuple[Any, Any]:
        """(cos, sin) of each token's position, (N, 1, 1, head width).

        RoPE, Su et al. 2021, https://arxiv.org/abs/2104.09864, in halves as transformers lays it out.
        """
        width = self._shape.head_width
        speeds = 1 / self._shape.rope_theta ** (np.arange(0, width, 2, dtype=np.float32) / width)
        places = op.unsqueeze(op.convert(self._in["position_ids"], "f32"), _i64([1, 2]))
        angles = op.multiply(places, op.constant(speeds.reshape(1, 1, -1).astype(np.float32)))
        both = op.concat([angles, angles], -1)
        return op.unsqueeze(op.cos(both), _i64([1])), op.unsqueeze(op.sin(both), _i64([1]))

    def _rotated(self, x: Any, heads: int, turns: tuple[Any, Any]) -> Any:
        half = self._shape.head_width // 2
        x = op.reshape(x, _i64([0, 0, heads, 2 * half]), True)
        x = op.transpose(x, _i64([0, 2, 1, 3]))
        first = op.slice(x, _i64([0]), _i64([half]), _i64([1]), _i64([3]))
        second = op.slice(x, _i64([half]), _i64([2**31 - 1]), _i64([1]), _i64([3]))
        turned = op.concat(
            [op.multiply(second, op.constant(np.full((1, 1, 1, 1), -1, np.float32))), first], -1
        )
        x = op.add(op.multiply(x, turns[0]), op.multiply(turned, turns[1]))
        return op.reshape(op.transpose(x, _i64([0, 2, 1, 3])), _i64([-1, heads * 2 * half]), False)

    def _attention(self, stem: str, layer: int, x: Any, turns: tuple[Any, Any]) -> Any:
        shape = self._shape
        names = [f"{stem}self_attn.{part}_proj" for part in "qkv"]
        sizes = [shape.heads * shape.head_width, *[shape.kv_heads * shape.head_width] * 2]
        # One multiplication for all three: at one token a step, its start costs more than its work.
        parts = op.variadic_split(self._linear(x, *names), _i64(2), _i64(sizes))
        query = self._rotated(parts.output(0), shape.heads, turns)
        key = self._rotated(parts.output(1), shape.kv_heads, turns)
        value = op.reshape(parts.output(2), _i64([-1, sizes[2]]), False)
        caches = [
            _named(f"{kind}_cache.{layer}", op.parameter([-1] * 4, ov.Type.dynamic))
            for kind in ("key", "value")
        ]
        self._parameters += caches
        attended = PagedAttention([one.output(0) for one in (query, key, value, *caches, *self._paging())])
        for name, number in (
            ("num_k_heads", shape.kv_heads), ("num_v_heads", shape.kv_heads),
            ("k_head_size", shape.head_width), ("v_head_size", shape.head_width),
        ):  # fmt: skip
            attended.get_rt_info()[name] = number
        flat = op.reshape(attended.output(0), _i64([0, 1, sizes[0]]), True)
        return self._linear(flat, f"{stem}self_attn.o_proj")

    def _paging(self) -> list[Any]:
        """The other inputs of a paged attention. What Hone does not use (sliding window, ALiBi, scores, cache
        rotation, sparse and adaptive attention, sinks) is empty.
        """
        given = self._in
        none_i, none_f = op.constant(np.zeros(0, np.int32)), op.constant(np.zeros(0, np.float32))
        return [
            given["past_lens"], given["subsequence_begins"],
            given["block_indices"], given["block_indices_begins"],
            _f32(self._shape.head_width**-0.5), _i32(0), none_f, given["max_context_len"],
            none_i, none_i, none_i, none_f, none_f, _i32(0), _i32(0),
            op.constant(np.zeros((0, 0, 0, 0), np.float32)), _i32(0),
            none_i, none_i, none_i, none_i, op.constant(np.zeros(0, np.uint8)), none_i,
        ]  # fmt: skip

    def _inner(self, stem: str, x: Any) -> Any:
        """SwiGLU, Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6."""
        names = [f"{stem}mlp.{part}_proj" for part in ("gate", "up")]
        size = self._shape.inner
        both = self._linear(x, *names)
        parts = op.variadic_split(both, _i64(2), _i64([size, size]))
        gated = op.multiply(op.swish(parts.output(0)), parts.output(1))
        return self._linear(gated, f"{stem}mlp.down_proj")


def _weights_of(matrix: EightBit) -> Any:
    """An 8-bit matrix in the shape that the plugin knows as compressed weights: it never becomes float32."""
    values = op.convert(op.constant(matrix.values, shared_memory=True), "f16")
    scaled = op.multiply(values, op.constant(matrix.scales, shared_memory=True))
    rows, groups, size = matrix.values.shape
    return op.convert(op.reshape(scaled, _i64([rows, groups * size]), False), "f32")


def _named(name: str, parameter: Any) -> Any:
    parameter.set_friendly_name(name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _i32(value: int) -> Any:
    return op.constant(np.array(value, np.int32))


def _i64(value: int | list[int]) -> Any:
    return op.constant(np.array(value, np.int64))


def _f32(value: float) -> Any:
    return op.constant(np.float32(value))
