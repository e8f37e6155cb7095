"""How many streamed tokens a second one Hone process takes from servers of a model, writes down and shows.

`python bench/remote.py [--servers 1] [--pace 60]` prints one line. The servers are stand-ins in a process
of their own that stream vLLM's events, so what is measured is Hone: HTTP, tokens to text, the state of each
reply, saves to the store. Nobody watches the replies: each open page costs more.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from assistant import base as bases  # noqa: E402
from assistant import registry  # noqa: E402
from assistant.base import BaseChoice  # noqa: E402
from assistant.engines.remote_engine import RemoteEngine  # noqa: E402
from assistant.engines.remote_probe import SLOTS_WHEN_UNSAID  # noqa: E402
from assistant.turns import Turns, TurnSettings  # noqa: E402
from feedback.conversations import Sampling  # noqa: E402
from feedback.home import Home  # noqa: E402
from feedback.store import Store  # noqa: E402
from prompts import library  # noqa: E402
from tests import build  # noqa: E402

FIRST_ID, IDS = 5000, 1000
"""Ids of ordinary tokens, one after the other."""


async def stream(writer: asyncio.StreamWriter, tokens: int, pace: float) -> None:
    """A reply, `pace` tokens a second: late ones hurry."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    begun = time.perf_counter()
    for n in range(tokens):
        finish = "length" if n == tokens - 1 else None
        choice = {"text": "x", "token_ids": [FIRST_ID + n % IDS], "finish_reason": finish}
        writer.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        await writer.drain()
        await asyncio.sleep(max(0.0, begun + (n + 1) / pace - time.perf_counter()))
    writer.write(b"data: [DONE]\n\n")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: float) -> None:
    """One request, as vLLM answers it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split()[0]) if "content-length:" in head else 0
    asked = json.loads(await reader.readexactly(length)) if length else {}
    if "/v1/models" in head:
        _send(writer, {"data": [{"id": "stand-in", "owned_by": "vllm"}]})
    elif "/v1/completions" not in head:
        _send(writer, {"error": "unknown"}, "404 Not Found")
    elif not asked.get("stream"):
        usage = {"prompt_tokens": len(asked["prompt"])}
        _send(writer, {"choices": [{"text": "a", "token_ids": [FIRST_ID]}], "usage": usage})
    else:
        await stream(writer, asked["max_tokens"], pace)
    await writer.drain()
    writer.close()


def _send(writer: asyncio.StreamWriter, body: object, status: str = "200 OK") -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n".encode() + data)


def serve(listening: list[socket.socket], pace: float) -> None:
    """One process is all the servers."""

    async def forever() -> None:
        servers = [await asyncio.start_server(partial(answer, pace=pace), sock=one) for one in listening]
        await asyncio.gather(*(server.serve_forever() for server in servers))

    asyncio.run(forever())


def measured(home: Home, urls: list[str], replies: int, tokens: int) -> float:
    """Tokens a second of all replies together, each asked for by a person of its own."""
    base = bases.resolve(home, BaseChoice(remotes=tuple(urls)))
    store = Store(home.store_file)
    engine = RemoteEngine(base, home, urls)
    library.register_shipped(store)
    registry.ensure_base(store, base, engine.template)
    turns = Turns(store, engine)
    people = [build.person(store, f"p{n}") for n in range(replies)]
    settings = TurnSettings(sampling=Sampling(max_tokens=tokens))
    begun = time.perf_counter()
    made = [turns.send(person, None, None, "Tell me something long.", settings) for person in people]
    for reply in made:
        assert list(turns.events(reply))[-1].status == "complete"
    took_s = time.perf_counter() - begun
    turns.close()
    engine.close()
    return replies * tokens / took_s


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--servers", type=int, default=1, help="each with 32 replies at once")
    options.add_argument(
        "--pace", type=float, default=60, help="tokens a second of each reply, if Hone keeps up"
    )
    options.add_argument("--tokens", type=int, default=300, help="of each reply")
    chosen = options.parse_args()
    replies = chosen.servers * SLOTS_WHEN_UNSAID
    with ExitStack() as open_until_the_end:
        folder = open_until_the_end.enter_context(tempfile.TemporaryDirectory())
        listening = [
            open_until_the_end.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
            for _ in range(chosen.servers)
        ]
        urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in listening]
        stand_in = multiprocessing.get_context("fork").Process(
            target=serve, args=(listening, chosen.pace), daemon=True
        )
        stand_in.start()
        try:
            a_second = measured(Home(Path(folder)), urls, replies, chosen.tokens)
        finally:
            stand_in.terminate()
    offered = replies * chosen.pace
    sys.stdout.write(f"{replies} replies at once: {a_second:.0f} of {offered:.0f} tokens/s came through\n")


if __name__ == "__main__":
    main()
