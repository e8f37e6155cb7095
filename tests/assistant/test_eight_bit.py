"""Weights in 8 bits: near what they stand for, and an adapter added to them by the paper's equation."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors.numpy import save_file

from assistant.engines import eight_bit
from assistant.engines.eight_bit import GROUP, Array

NUMBERS = some.lists(some.floats(-8, 8, width=32), min_size=GROUP, max_size=GROUP).map(
    lambda row: np.array([row], np.float32)
)


@given(NUMBERS)
def test_a_weight_is_off_by_half_a_step_at_most(matrix: Array) -> None:
    back = eight_bit.quantised(matrix).dequantised()
    step = np.abs(matrix).max() / 127
    # Half a step of rounding, and what float16 loses of the step itself, at most 127 times.
    assert np.abs(back - matrix).max() <= step * (0.5 + 127 * 2**-11) + 127 * 2**-24


def test_a_group_of_zeros_stays_zero() -> None:
    assert not eight_bit.quantised(np.zeros((2, 2 * GROUP), np.float32)).dequantised().any()


def lora_folder(folder: Path, **config: object) -> Path:
    a = np.zeros((2, GROUP), np.float32)
    b = np.zeros((3, 2), np.float32)
    a[0, 0], b[1, 0] = 2.0, 5.0
    stem = "base_model.model.layer"
    folder.mkdir()
    save_file({f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "lora_alpha": 4, "bias": "none", **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(("rslora", "expected"), [(False, 1 + 4 / 2 * 10), (True, 1 + 4 / 2**0.5 * 10)])
def test_an_adapter_is_added_by_the_equation(tmp_path: Path, rslora: bool, expected: float) -> None:
    base = tmp_path / "base"
    base.mkdir()
    save_file({"layer.weight": np.ones((3, GROUP), np.float32), "norm": np.ones(4, np.float32)},
              base / "model.safetensors")  # fmt: skip
    adapter = lora_folder(tmp_path / "adapter", use_rslora=rslora)
    found = eight_bit.prepare(base, adapter, tmp_path / "served" / "one.safetensors")
    matrix = found.matrix("layer.weight").dequantised()
    assert matrix[1, 0] == pytest.approx(expected, rel=1e-2)
    assert matrix[0, 0] == pytest.approx(1, rel=1e-2)
    assert found.vector("norm").tolist() == [1, 1, 1, 1]


def test_an_adapter_for_another_model_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    save_file({"other.weight": np.ones((3, GROUP), np.float32)}, base / "model.safetensors")
    with pytest.raises(ValueError, match="The base has no layer"):
        eight_bit.prepare(base, lora_folder(tmp_path / "a"), tmp_path / "served" / "one.safetensors")
    assert not list((tmp_path / "served").glob("*")) if (tmp_path / "served").exists() else True
