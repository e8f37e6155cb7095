"""The processes that bench/serving.py measures, each on a loopback port of its own. Knows no section.

Hone through `python app.py`, llama.cpp through its own server, and children of bench/serving_child.py.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from assistant import base as bases
from assistant import embedded, registry
from assistant.base import BaseChoice
from feedback.command_line import open_store
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import tiny_models

ROOT = Path(__file__).parent.parent
LLAMA_SERVER = ROOT / ".peers" / "llamacpp" / "bin" / "llama-server"
START_S = 120
IDLE_S = 5
ADAPTER_STRENGTH = 0.01
"""Enough to be another model, little enough to write as well as the base."""
THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class Server:
    """A server that runs. `extra`: what a request to it says beside OpenAI's common parameters."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    extra: dict[str, Any]

    def rss_mb(self) -> float:
        """Memory of it and its children now, in MB."""
        return sum(one.memory_info().rss for one in self._all()) / 1e6

    def idle_percent(self) -> float:
        """How much of one core it and its children take over the next seconds, in percent."""
        before = self._cpu_s()
        time.sleep(IDLE_S)
        return 100 * (self._cpu_s() - before) / IDLE_S

    def _cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._all())

    def _all(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def prepared(folder: Path) -> tuple[Home, str]:
    """A home with the base unpacked, and a version with an adapter in it; its name."""
    home = Home(folder)
    base = bases.resolve(home, BaseChoice())
    store = open_store(home)
    registry.ensure_base(store, base, bases.chat_template(base))
    adapter = tiny_models.save_adapter(base, folder / "adapter", strength=ADAPTER_STRENGTH)
    version = registry.add(store, home, base, adapter, None, "bench")
    store.close()
    return home, version.name


def make_champion(home: Home, name: str | None) -> None:
    """Let a version answer, None for the base; no server may be running."""
    store = open_store(home)
    plain = next(one for one in registry.listing(store) if one.adapter_dir is None)
    wanted = registry.get(store, name) if name else plain
    if registry.champion(store).id != wanted.id:
        registry.move_champion(store, home, LOCAL_USER, wanted.id, "promote", override_reason="benchmark")
    store.close()


@contextmanager
def hone(home: Home, wait: bool = True) -> Iterator[Server]:
    """`hone serve` on `home`, as people start it."""
    port = free_port()
    command = [sys.executable, "app.py", "--home", str(home.path), "--port", str(port)]
    with _running("hone", command, port, "/api/status" if wait else "", {}) as server:
        yield server


@contextmanager
def llama(model: Path, slots: int = 1, context: int = 4096) -> Iterator[Server]:
    """llama-server on a GGUF; `context`: tokens of each slot."""
    port = free_port()
    command = [str(LLAMA_SERVER), "-m", str(model), "-t", str(THREADS), "-np", str(slots)]
    command += ["-c", str(slots * context), "--host", "127.0.0.1", "--port", str(port)]
    with _running("llama.cpp", command, port, "/health", {"ignore_eos": True}) as server:
        yield server


@contextmanager
def _running(name: str, command: list[str], port: int, ready: str, extra: dict[str, Any]) -> Iterator[Server]:
    # In a file and not in a pipe, which fills up.
    log = Path(tempfile.gettempdir()) / f"bench-serving-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=_environment())
        try:
            if ready:
                _wait(process, f"http://127.0.0.1:{port}{ready}", log)
            yield Server(name, port, process, extra)
        finally:
            process.terminate()
            process.wait(60)
            log.unlink()


def _wait(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    sys.exit(f"A server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Child:
    """A process of bench/serving_child.py: a line of JSON in, a line of JSON out."""

    process: "subprocess.Popen[str]"

    def ask(self, **what: Any) -> Any:
        into, out = _pipes(self.process)
        into.write(json.dumps(what) + "\n")
        into.flush()
        for line in out:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit("bench/serving_child.py ended early; its message stands above.")


def _pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("a child without pipes")
    return process.stdin, process.stdout


@contextmanager
def child(kind: str, home: Home) -> Iterator[Child]:
    """`kind`: transformers, or bare for Hone's engine without Hone."""
    command = [sys.executable, str(ROOT / "bench" / "serving_child.py"), kind, str(home.path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    )
    try:
        yield Child(process)
    finally:
        process.terminate()  # it may be in the middle of an answer that nobody waits for now
        process.communicate()


def gguf_4bit(home: Home) -> Path:
    """The very weights that Hone unpacks."""
    return embedded.locate(home)


def gguf_8bit(home: Home) -> Path:
    """The same weights in llama.cpp's 8-bit kind, made in the home once."""
    import gguf

    target = home.path / "base.Q8_0.gguf"
    if target.is_file():
        return target
    reader = gguf.GGUFReader(embedded.locate(home))
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        said = field.contents()
        if field.name == "general.file_type":
            said = int(gguf.LlamaFileType.MOSTLY_Q8_0)
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, said, field.types[0], inner)
    eight = gguf.GGMLQuantizationType.Q8_0
    plain = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
    for tensor in reader.tensors:
        if tensor.tensor_type in plain:
            writer.add_tensor(tensor.name, tensor.data)
        else:
            weights = gguf.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, gguf.quantize(weights, eight), raw_dtype=eight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
