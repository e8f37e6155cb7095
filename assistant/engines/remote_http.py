"""HTTP to one server of a model: small questions, and streams of events that any thread can cut. Knows no
model and no protocol beyond JSON, server-sent events, and what a status code means.

Each request has a connection of its own: its socket can then be shut from any thread, which ends the server's
work at once, and no request is lost to a connection that had gone stale.
"""

import email.utils
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from feedback.errors import HoneError

KEY_VARIABLE = "HONE_REMOTE_KEY"
WATCH_EVERY_S = 0.02
DEFAULT_BUSY_S = 1.0
"""How long a server that says it is busy, and no more, is left alone."""

Cut = Literal["stopped", "late"]
Json = Any


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    connect_s: until it takes the connection. answer_s: until a small question is answered, an adapter's
    loading included. first_token_s, between_tokens_s: while a reply is written. retry_s: how long a reply
    looks for a server before its first token. probe_s: between two looks at a server that is well.
    linger_s: how long an adapter that nobody asks for stays loaded.
    """

    connect_s: float = 5.0
    answer_s: float = 60.0
    first_token_s: float = 180.0
    between_tokens_s: float = 60.0
    retry_s: float = 30.0
    probe_s: float = 5.0
    linger_s: float = 600.0


class ServerError(HoneError):
    """A server of the model failed: it may be tried again, or another one be asked. `code` is its HTTP
    status, 0 where it gave none.
    """

    status = 502

    def __init__(self, what: str, why: str = "", todo: str = "", code: int = 0) -> None:
        super().__init__(what, why, todo)
        self.code = code


class BusyError(ServerError):
    """The server takes no more work for `retry_after_s`."""

    status = 503

    def __init__(self, what: str, why: str, retry_after_s: float) -> None:
        super().__init__(what, why, "Try again in a moment.")
        self.retry_after_s = retry_after_s


class RefusedError(HoneError):
    """The server understood and said no: asking again gives the same. `code` is its HTTP status."""

    def __init__(self, what: str, why: str, code: int) -> None:
        todo = f"Set {KEY_VARIABLE} to the server's API key." if code in (401, 403) else ""
        super().__init__(what, why, todo)
        self.code = code


class CutError(HoneError):
    """The request was cut from this side: somebody stopped it."""


class Exchange:
    """One request under way. `cut` may be called by any thread; it ends the reading at once."""

    def __init__(self, stop: Callable[[], bool], first_s: float, between_s: float) -> None:
        self._stop, self._between_s = stop, between_s
        self._deadline = time.monotonic() + first_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.was_cut: Cut | None = None

    def progress(self) -> None:
        """Something came: the wait for the next thing begins."""
        self._deadline = time.monotonic() + self._between_s

    def look(self) -> None:
        """Cut it, if somebody stopped it or it is late."""
        if self._stop():
            self.cut("stopped")
        elif time.monotonic() > self._deadline:
            self.cut("late")

    def cut(self, why: Cut) -> None:
        with self._lock:
            self.was_cut = self.was_cut or why
            self._shut()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's account of a request: tells the socket as soon as there is one."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self.was_cut:
                    self._shut()

    def _shut(self) -> None:
        if self._socket is None:
            return
        try:
            # The plain socket's method: a TLS socket's own would first forget its keys under the reader.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:  # it is closed already
            self._socket = None


class Watch:
    """The one thread that looks at all exchanges under way."""

    def __init__(self) -> None:
        self._open: set[Exchange] = set()
        self._wake = threading.Condition()
        self._closed = False
        threading.Thread(target=self._work, name="hone-remote-watch", daemon=True).start()

    @contextmanager
    def over(self, exchange: Exchange) -> Iterator[None]:
        """Look at `exchange` meanwhile."""
        with self._wake:
            self._open.add(exchange)
            self._wake.notify()
        try:
            yield
        finally:
            with self._wake:
                self._open.discard(exchange)

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._open or self._closed)
                if self._closed and not self._open:
                    return
                looked_at = list(self._open)
            for exchange in looked_at:
                exchange.look()
            time.sleep(WATCH_EVERY_S)


class Line:
    """The way to one server."""

    def __init__(self, url: str, patience: Patience, watch: Watch) -> None:
        self.url = address(url)
        self._patience, self._watch = patience, watch
        key = os.environ.get(KEY_VARIABLE)
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=patience.connect_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def get(self, path: str) -> Json:
        """What the server answers to a small question."""
        return self._small("GET", path, None, _never)

    def post(self, path: str, body: Json, stop: Callable[[], bool] | None = None) -> Json:
        """The same, with something sent. Plain text comes back as a string."""
        return self._small("POST", path, body, stop or _never)

    def events(self, path: str, body: Json, stop: Callable[[], bool]) -> Generator[Json, None, None]:
        """The JSON of each event that the server sends, until it says that it is done, or ends.

        CutError when `stop` became true, BusyError or another ServerError when the server failed,
        RefusedError when it said no. Closing the generator ends the server's work.
        """
        exchange = Exchange(stop, self._patience.first_token_s, self._patience.between_tokens_s)
        with (
            self._asking(exchange),
            self._client.stream("POST", path, json=body, extensions={"trace": exchange.trace}) as response,
        ):
            if not response.is_success:
                response.read()
                raise _error_of(self.url, response)
            for data in _event_data(response.iter_bytes()):
                if data == "[DONE]":
                    return
                exchange.progress()
                yield self._parsed(data)

    def _small(self, method: str, path: str, body: Json, stop: Callable[[], bool]) -> Json:
        exchange = Exchange(stop, self._patience.answer_s, self._patience.answer_s)
        with self._asking(exchange):
            response = self._client.request(method, path, json=body, extensions={"trace": exchange.trace})
        if not response.is_success:
            raise _error_of(self.url, response)
        if "json" not in response.headers.get("content-type", ""):
            return response.text
        return self._parsed(response.text)

    @contextmanager
    def _asking(self, exchange: Exchange) -> Iterator[None]:
        """Look after an exchange; what breaks it becomes a HoneError."""
        try:
            with self._watch.over(exchange):
                yield
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise self._broken(exchange, error) from error
        if exchange.was_cut:  # a shut socket may look like an ordinary end
            raise self._broken(exchange, None)

    def _broken(self, exchange: Exchange, error: Exception | None) -> HoneError:
        exchange.look()
        if exchange.was_cut == "stopped":
            return CutError("The request was stopped.")
        why = "It took too long." if exchange.was_cut == "late" else _reason(error)
        return ServerError(f"The server {self.url} did not answer.", why, "Look at that server's log.")

    def _parsed(self, text: str) -> Json:
        try:
            return json.loads(text)
        except ValueError as error:
            raise ServerError(
                f"The server {self.url} sent something that is not JSON.",
                f"It begins with {text[:40]!r}.",
                "Check that it is a server of a model.",
            ) from error


def address(url: str) -> str:
    """`url` without the `/v1` that some people write and others do not. HoneError for no address."""
    trimmed = url.strip().rstrip("/").removesuffix("/v1")
    parsed = httpx.URL(trimmed) if trimmed.isprintable() else None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise HoneError(f"{url!r} is no address of a server.", "", "Give one such as http://127.0.0.1:8000.")
    return trimmed


def _never() -> bool:
    return False


def _event_data(chunks: Iterator[bytes]) -> Iterator[str]:
    """The data of server-sent events. Lines are cut at line feeds only: JSON may carry the separators that
    httpx's own reader of lines cuts at.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].decode("utf-8", "replace").strip()
    if rest.startswith(b"data:"):
        yield rest[5:].decode("utf-8", "replace").strip()


def _error_of(url: str, response: httpx.Response) -> HoneError:
    message, code = _message(response), response.status_code
    if code in (429, 503):
        wait_s = _retry_after_s(response.headers.get("retry-after"))
        return BusyError(f"The server {url} is busy.", message, wait_s)
    if code >= 500:
        return ServerError(f"The server {url} failed.", f"It said {code}: {message}", code=code)
    return RefusedError(f"The server {url} refused.", f"It said {code}: {message}", code)


def said(body: Json) -> str:
    """The words of an error that came as JSON, in any of the shapes that servers use."""
    found = body
    while isinstance(found, dict):
        found = next((found[name] for name in ("error", "message", "detail", "object") if name in found), "")
    text = found if isinstance(found, str) else json.dumps(found)
    return " ".join(text.split())[:300] or "nothing"


def _message(response: httpx.Response) -> str:
    try:
        return said(response.json())
    except ValueError:
        return " ".join(response.text.split())[:300] or "nothing"


def _retry_after_s(value: str | None) -> float:
    """Seconds or a date, as HTTP has it."""
    if value is None:
        return DEFAULT_BUSY_S
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return DEFAULT_BUSY_S


def _reason(error: Exception | None) -> str:
    words = str(error).strip() or type(error).__name__
    return f"The connection broke: {words.splitlines()[0].rstrip('.')}."
