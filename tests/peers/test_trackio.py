"""trackio itself: a run's curves in its database, in the home, without a network."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.base import Base
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import training_ground
from tests.peers.ground import PEERS, needed
from tests.training_ground import finished, wait
from training import metrics_copy, run_memory, runs

pytestmark = pytest.mark.trackio

NO_NETWORK = """
import socket

def refuse(*_, **__):
    raise SystemExit("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
READ = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs("hone")
rows = SQLiteStorage.get_logs("hone", run.name, run_id=run.id)
print(json.dumps({"id": run.id, "name": run.name, "config": run.config, "rows": rows}))
"""


def test_a_killed_run_that_goes_on_has_each_figure_once_in_trackio_in_the_home(
    home: Home, tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, person, sealed = needed(PEERS / "trackio", "trackio"), tmp_path / "person", tmp_path / "sealed"
    for folder in (person, sealed):
        folder.mkdir()
    (sealed / "sitecustomize.py").write_text(NO_NETWORK)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(sealed), str(peer), before]))
    monkeypatch.setenv("HOME", str(person))
    monkeypatch.syspath_prepend(peer)
    on = training_ground.ground(home, tiny_base)
    recipe = dataclasses.replace(on.recipe, metrics="trackio", epochs=3.0)
    run = runs.start(home, runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id).id)
    os.kill(int(wait(on, run, lambda now: now.step >= 5).pid or 0), signal.SIGKILL)
    assert finished(on, run).state == "interrupted"
    runs.resume(home, on.store, LOCAL_USER, run.id)
    mended = finished(on, run)
    log = runs.log_text(home, run.id)
    assert mended.state == "done", log
    command = metrics_copy.shown_by(home, mended)
    assert (command in log, command.split()[0]) == (True, f"TRACKIO_DIR={home.trackio}")
    monkeypatch.setenv("TRACKIO_DIR", str(home.trackio))
    read = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
    kept = json.loads(read.stdout)
    found = [
        (row["step"], name, value)
        for row in kept["rows"]
        for name, value in row.items()
        if name not in ("step", "timestamp")
    ]
    expected = [
        (one.step, one.name, one.value)
        for one in runs.metrics(on.store, run.id)
        if one.name not in run_memory.KEPT
    ]
    assert sorted(found) == sorted(expected)
    assert (kept["id"], kept["name"]) == (run.id, f"tiny {run.id}")
    assert (kept["config"]["method"], kept["config"]["losses"]) == ("dpo", "sigmoid")
    assert list(person.iterdir()) == []
