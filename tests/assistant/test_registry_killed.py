"""A promotion killed with SIGKILL, at each step and at any moment, leaves the old or the new champion: never
neither.
"""

import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from assistant import registry
from assistant.base import Base, chat_template
from feedback import audit
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models

ROOT = Path(__file__).parents[2]

AT_STEP = """
import os, signal, sys
from pathlib import Path
from assistant import registry
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store

home, version_id, step = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
store = Store(home.store_file)
lines = 0

def count(frame, event, argument):
    global lines
    if not frame.f_code.co_filename.endswith(("registry.py", "audit.py", "store.py")):
        return None
    if event == "line":
        lines += 1
        if lines == step:
            os.kill(os.getpid(), signal.SIGKILL)
    return count

sys.settrace(count)
registry.move_champion(store, home, LOCAL_USER, version_id, "promote")
sys.settrace(None)
print(lines)
"""

BACK_AND_FORTH = """
import sys
from pathlib import Path
from assistant import registry
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store

home, versions = Home(Path(sys.argv[1])), sys.argv[2:]
store = Store(home.store_file)
while True:
    for version_id in versions:
        if registry.champion(store).id != version_id:
            registry.move_champion(store, home, LOCAL_USER, version_id, "promote")
            print(version_id, flush=True)
"""


def child(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def versions(store: Store, home: Home, tiny_base: Base, tmp_path: Path) -> list[str]:
    """The base (champion) and one candidate."""
    first = registry.ensure_base(store, tiny_base, chat_template(tiny_base))
    adapter = tiny_models.fake_adapter(tmp_path / "adapter")
    return [first.id, registry.add(store, home, tiny_base, adapter, None, "dpo").id]


def check_whole(store: Store, home: Home) -> str:
    """One valid champion, named by the latest promotion, which the audit log knows; returns its id."""
    champion = registry.champion(store)
    registry.check_files(home, champion)
    moves = registry.history(store)
    assert moves[0].to_version_id == champion.id
    for later, earlier in pairwise(moves):
        assert later.from_version_id == earlier.to_version_id
    assert [entry.subject_id for entry in audit.entries(store, 10_000)] == [m.to_version_id for m in moves]
    return champion.id


def test_killed_at_each_step_of_a_promotion(store: Store, home: Home, versions: list[str]) -> None:
    old, new = versions
    steps = range(1, 200, 7)  # every seventh line; a promotion runs through about a hundred of ours
    seen = set()
    for step in steps:
        process = child(AT_STEP, str(home.path), new, str(step))
        process.communicate(timeout=60)
        champion = check_whole(store, home)
        seen.add(champion)
        if process.returncode == 0:
            assert champion == new
            break
        assert process.returncode == -signal.SIGKILL
        if champion == new:
            break
        assert len(registry.history(store)) == 1
    assert seen == {old, new}


def test_killed_at_any_moment_while_promoting_back_and_forth(
    store: Store, home: Home, versions: list[str]
) -> None:
    chance = random.Random(5)
    for _ in range(5):
        process = child(BACK_AND_FORTH, str(home.path), *versions)
        assert process.stdout is not None
        acknowledged = process.stdout.readline().strip()
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        rest = process.communicate()[0].split()
        said = [acknowledged, *rest]
        champion = check_whole(store, home)
        # A killed process may have committed one more move than it could print, never one less.
        assert champion == said[-1] or registry.history(store)[1].to_version_id == said[-1]
