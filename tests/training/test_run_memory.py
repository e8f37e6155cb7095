"""What a run was to need and what it took: refused before, told after; and what it lets go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from assistant import registry
from assistant.adapters import stored
from assistant.base import Base
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import training_ground
from training import run_memory, runs
from training.data import Row
from training.launch import configs
from training.memory.heap import FEW_KERNELS
from training.run_commands import runs_group


def test_a_run_tells_what_it_took_beside_what_was_estimated(home: Home, tiny_base: Base) -> None:
    from click.testing import CliRunner

    on = training_ground.ground(home, tiny_base, questions=12)
    run = runs.start(home, runs.create(on.store, LOCAL_USER, on.recipe, on.snapshot.id).id)
    run = training_ground.finished(on, run)
    log = runs.log_text(home, run.id)
    assert run.state == "done", log
    found = {point.name: point.value for point in runs.metrics(on.store, run.id)}
    # All but a hundredth of it is the libraries: the model has a few thousand numbers.
    assert found[run_memory.ESTIMATE] == pytest.approx(found[run_memory.PEAK], rel=0.25)
    shown = CliRunner().invoke(runs_group, ["show", "--home", str(home.path)]).output
    adapter = registry.folder(home, registry.get(on.store, run.candidate_id)) / stored.TENSORS
    trained = sum(tensor.numel() for tensor in load_file(adapter).values())
    for told in (log, shown):
        assert f"Memory: peak {found[run_memory.PEAK]:.2f} GB, estimated" in told
        assert f"Trained: {trained:,} of " in told
    assert log.index("by estimate") < log.index("step 1:")


def test_rows_that_cannot_fit_are_refused_with_what_would(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    fits, huge = Row((1,) * 20, (2,) * 20, (3,) * 20), Row((1,) * 100_000, (2,) * 900_000, (3,) * 900_000)
    assert run_memory.check(on.base, on.recipe, [fits] * 4).estimate.peak_bytes < 2e9
    with pytest.raises(HoneError, match="It fits with"):
        run_memory.check(on.base, on.recipe, [fits, huge])


def test_nothing_is_told_of_a_run_that_was_not_measured() -> None:
    assert run_memory.line([runs.MetricPoint(1, "loss", 0.5)]) == ""


def test_one_of_several_processes_needs_what_its_own_share_of_a_step_needs(
    home: Home, tiny_base: Base
) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    recipe = training_ground.recipe(on.base, batch=64, accumulation=1)
    own = training_ground.recipe(on.base, batch=32, accumulation=1)
    rows = [Row((1,) * 400, (2,) * 90, (3,) * 90)] * 64
    of_two = run_memory.check(on.base, recipe, rows, configs.load("cpu-2")).estimate.peak_bytes
    assert of_two == run_memory.check(on.base, own, rows).estimate.peak_bytes
    assert of_two < run_memory.check(on.base, recipe, rows).estimate.peak_bytes


def test_of_a_batch_that_does_not_divide_one_process_takes_a_text_more(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    five, three = (
        training_ground.recipe(on.base, method="classify", batch=batch, accumulation=1) for batch in (5, 3)
    )
    rows = [Row((1,) * 400, (), ())] * 20
    of_two = run_memory.check(on.base, five, rows, configs.load("cpu-2")).estimate.peak_bytes
    assert of_two == run_memory.check(on.base, three, rows).estimate.peak_bytes


PRODUCTS_OF_MANY_LENGTHS = """
import psutil
import torch
from training.memory import heap

def held():
    heap.give_back()
    return psutil.Process().memory_info().rss

weight = torch.zeros(1536, 576, dtype=torch.bfloat16)
def products(lengths):
    for length in lengths:
        torch.nn.functional.linear(torch.zeros(length, 576, dtype=torch.bfloat16), weight)

products(range(100, 140))
before = held()
products(range(200, 500))
print(held() - before)
"""


def test_batches_of_other_lengths_leave_nothing_behind() -> None:
    """Without the settings each length keeps 0.6 MB, where the CPU computes in bf16."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTS_OF_MANY_LENGTHS],
        capture_output=True, text=True, check=True, cwd=root,
        env={**os.environ, **FEW_KERNELS, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert int(done.stdout) < 60e6
