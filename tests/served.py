"""`hone serve` as a process of its own, on a free port: for tests that need, or kill, the whole server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from assistant.base import Base

CHECKOUT = Path(__file__).parent.parent
START_S = 120
PLAIN_CPU = """
import runpy
from assistant import device
device.choose = lambda: ("cpu", "float32", "in float32, as on a CPU without bfloat16")
runpy.run_path("app.py", run_name="__main__")
"""
"""`app.py` on a CPU that computes in float32, whatever this one can."""


@dataclass(frozen=True)
class Served:
    """A running server. `address` has no slash at its end."""

    process: "subprocess.Popen[bytes]"
    address: str


@contextmanager
def served(base: Base, home: Path) -> Iterator[Served]:
    """The server on `home`, answering with `base`, in float32 where that says so and else in what the machine
    computes best; ended on leaving, if it still runs.
    """
    port = free_port()
    program = ["-c", PLAIN_CPU] if base.dtype == "float32" else [str(CHECKOUT / "app.py")]
    command = [sys.executable, *program, "--home", str(home), "--port", str(port)]
    command += ["--model", str(base.folder), "--quantize", "none"]
    home.mkdir(parents=True, exist_ok=True)
    log, env = home / "server.log", os.environ | {"HF_HUB_OFFLINE": "1"}
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=CHECKOUT, env=env)
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START_S
        while not _answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)
        yield Served(process, address)
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/status", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
