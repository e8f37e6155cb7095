"""A client that costs little, so that the cores are left to who is measured. Knows no section.

Streams are read on one thread without a library; what they say is understood after they have ended.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from serving_peers import Server


@dataclass(frozen=True)
class Streamed:
    """One answer. `first_s` and `seconds` count from the request; `tokens` is what the server says."""

    began: float
    first_s: float
    last_s: float
    seconds: float
    tokens: int
    prompt_tokens: int
    text: str
    reply_id: str
    versions: frozenset[str]
    error: str

    def seconds_for(self, tokens: int) -> float:
        """What an answer of so many tokens would have taken at this pace."""
        return self.first_s + (self.last_s - self.first_s) * (tokens - 1) / max(1, self.tokens - 1)

    @property
    def tokens_a_second(self) -> float:
        """After the first."""
        return (self.tokens - 1) / (self.last_s - self.first_s)


def messages(text: str, system: str = "") -> list[dict[str, str]]:
    said = [{"role": "system", "content": system}] if system else []
    return [*said, {"role": "user", "content": text}]


async def chat(
    server: Server, said: list[dict[str, str]], tokens: int = 128, model: str = "hone"
) -> Streamed:
    """A greedy answer to /v1/chat/completions, streamed."""
    body = {
        "model": model, "messages": said, "max_tokens": tokens, "temperature": 0, "stream": True,
        "stream_options": {"include_usage": True}, **server.extra,
    }  # fmt: skip
    began = time.perf_counter()
    try:
        events = await events_of(server.port, "POST", "/v1/chat/completions", body)
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        return Streamed(began, 0, 0, 0, 0, 0, "", "", frozenset(), f"{type(error).__name__}: {error}")
    return understood(began, events, time.perf_counter())


def understood(began: float, events: list[tuple[float, str]], ended: float) -> Streamed:
    texts, used = list[tuple[float, str]](), dict[str, int]()
    versions, reply_id, error = set[str](), "", ""
    for at, line in events:
        if line == "[DONE]":
            continue
        event = json.loads(line)
        error = error or json.dumps(event.get("error", ""))[1:-1]
        used = event.get("usage") or used
        if "hone" in event:
            versions.add(event["hone"]["model_version"])
            reply_id = event["hone"]["reply_id"]
        for choice in event.get("choices", ()):
            if text := choice["delta"].get("content"):
                texts.append((at, text))
    if not texts:
        error = error or "no text came"
        texts = [(ended, "")]
    return Streamed(
        began, texts[0][0] - began, texts[-1][0] - began, ended - began, used.get("completion_tokens", 0),
        used.get("prompt_tokens", 0), "".join(text for _, text in texts), reply_id, frozenset(versions),
        error,
    )  # fmt: skip


async def events_of(port: int, method: str, path: str, body: Any = None) -> list[tuple[float, str]]:
    """When each event came, and its data. ValueError for any status but a success."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        sent = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        await writer.drain()
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        if answered.split()[1][:1] != b"2":
            raise ValueError((answered + await reader.read()).decode(errors="replace"))
        pieces = list[tuple[float, bytes]]()
        if b"transfer-encoding: chunked" not in answered:
            return [(time.perf_counter(), (await reader.read()).decode())]
        while size := int(await reader.readline(), 16):
            piece = await reader.readexactly(size + 2)
            pieces.append((time.perf_counter(), piece[:-2]))
        return _lines(pieces)
    finally:
        writer.close()


def _lines(pieces: list[tuple[float, bytes]]) -> list[tuple[float, str]]:
    """The data lines, each with the time at which its end came."""
    found, rest = list[tuple[float, str]](), b""
    for at, piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        found += [(at, line[6:].decode().strip()) for line in whole if line.startswith(b"data: ")]
    return found


async def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    """One answer in JSON, whole."""
    return json.loads((await events_of(port, method, path, body))[0][1])
