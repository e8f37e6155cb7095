"""An evaluation that is really killed goes on where it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prompts.evaluation.calls import Calls
from tests.evaluation_ground import sums

ROOT = Path(__file__).parents[3]

EVALUATE = """
import sys, time
from pathlib import Path
from prompts.evaluation import matrix
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Column, How
from prompts.evaluation.datasets import load, source
from prompts.plain import shipped
from tests.evaluation_ground import RuledModel

def slowly(prompt, sampling):
    time.sleep(float(sys.argv[3]))
    return "It is 4."

model = RuledModel(says=slowly)
data = load(source("gsm8k:" + sys.argv[1]))
zero_shot = shipped()["zero-shot"]
works = matrix.plan([Column("zero-shot", "pv", zero_shot, How(), model)], [data])
cell, = matrix.run(works, Calls(Path(sys.argv[2])))
print(len(model.written), cell.score.value)
"""


def evaluate(data: Path, kept: Path, pause_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", EVALUATE, str(data), str(kept), str(pause_s)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_evaluation_computes_only_what_was_missing(tmp_path: Path) -> None:
    data, kept = sums(tmp_path / "t.jsonl", 100), tmp_path / "evaluations.db"
    first = evaluate(data, kept, pause_s=0.05)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (kept.exists() and len(Calls(kept)) >= 12):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    before = len(Calls(kept))
    assert 12 <= before < 100
    computed, score = evaluate(data, kept, pause_s=0).communicate(timeout=60)[0].split()
    assert int(computed) == 100 - before
    assert float(score) == 0.01  # only 2 + 2 makes 4
    assert len(Calls(kept)) == 100
