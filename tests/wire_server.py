"""A server of a model that says exactly the bytes that a test gives it, over a real socket.

It lists one model, takes prompts as ids and counts them, so that the remote engine starts on it; what it says
to any question may be replaced: `says[path]` is what goes over the wire, headers and all.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

Wire = bytes | list[bytes | float]
"""What is sent, and then the connection is closed. In a list: bytes, and seconds of silence."""


def http(body: bytes, kind: str = "application/json", status: str = "200 OK", headers: str = "") -> bytes:
    """An answer as a server should write it."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def stream(*events: bytes) -> Wire:
    """An event stream that ends with its connection; each event is sent by itself."""
    return [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *events]


def word(text: str, finish: str | None = None) -> bytes:
    """One event with a piece of a reply."""
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


class WireServer:
    """`says` is by path, and for a streamed reply under "stream"; a function gets the body that came."""

    def __init__(self, **models: Any) -> None:
        self.says: dict[str, Wire | Callable[[Any], Wire]] = {}
        self.models: list[dict[str, Any]] = [{"id": "tiny", "owned_by": "somebody"} | models]
        self.asked: list[str] = []
        self._server = _Listener(("127.0.0.1", 0), partial(_Answer, self))
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: Any) -> Wire:
        name = "stream" if isinstance(body, dict) and body.get("stream") else path
        self.asked.append(name)
        found = self.says.get(name, self._usual(name, body))
        return found(body) if callable(found) else found

    def _usual(self, name: str, body: Any) -> Wire:
        if name == "/v1/models":
            return http(json.dumps({"object": "list", "data": self.models}).encode())
        if name == "/v1/completions":
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
            choice = {"index": 0, "text": "a", "finish_reason": "length"}
            return http(json.dumps({"choices": [choice], "usage": usage}).encode())
        if name == "stream":
            return stream(word("a "), word("cat", "stop"), b"data: [DONE]\n\n")
        return http(b'{"error": {"message": "Not Found"}}', status="404 Not Found")


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:  # broken connections are what the tests are about
        pass


class _Answer(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def __init__(self, owner: WireServer, *rest: Any) -> None:
        self.owner = owner
        super().__init__(*rest)

    def handle(self) -> None:
        path, length = self.rfile.readline().decode().split(" ")[1], 0
        while (line := self.rfile.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = json.loads(self.rfile.read(length)) if length else None
        said = self.owner.answer(path, body)
        for one in said if isinstance(said, list) else [said]:
            if isinstance(one, float):
                time.sleep(one)
                continue
            with suppress(OSError):
                self.wfile.write(one)
                self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
