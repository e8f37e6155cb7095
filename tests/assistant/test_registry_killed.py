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

AT_EACH_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from assistant import registry
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store

template, version_id = Path(sys.argv[1]), sys.argv[2]
lines = 0

def promote_and_die_at(step, home):
    def count(frame, event, argument):
        global lines
        if not frame.f_code.co_filename.endswith(("registry.py", "audit.py", "store.py")):
            return None
        if event == "line":
            lines += 1
            if lines == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    store = Store(home.store_file)
    sys.settrace(count)
    registry.move_champion(store, home, LOCAL_USER, version_id, "promote")
    os._exit(0)

for step in range(1, 1000):
    home = Home(template.with_name(f"killed-at-{step}"))
    shutil.copytree(template, home.path)
    child = os.fork()
    if child == 0:
        promote_and_die_at(step, home)
    status = os.waitpid(child, 0)[1]
    print(home.path, os.waitstatus_to_exitcode(status), flush=True)
    if status == 0:
        break
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
    store.close()  # so that the file alone is the whole store, and can be copied
    told = child(AT_EACH_STEP, str(home.path), new).communicate(timeout=300)[0].splitlines()
    champions = []
    for line in told:
        path, _, exit_code = line.rpartition(" ")
        assert int(exit_code) in (0, -signal.SIGKILL)
        copy = Home(Path(path))
        survivor = Store(copy.store_file)
        champions.append(check_whole(survivor, copy))
        survivor.close()
    assert champions[0] == old
    assert champions[-1] == new
    # There is one step before which all is old and after which all is new.
    assert champions == sorted(champions, key=[old, new].index)


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
