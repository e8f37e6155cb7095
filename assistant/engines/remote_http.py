"""HTTP to one server of a model: small questions, and streams of events that any thread can cut. Knows no
model and no protocol beyond JSON, server-sent events, and what a status code means.

Each request has a connection of its own: its socket can then be shut from any thread, which ends the server's
work at once, and no request is lost to a connection that had gone stale.
"""

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from assistant.accounts import is_loopback
from assistant.engines import remote_errors
from assistant.engines.remote_errors import KEY_VARIABLE, CutError, ServerError
from assistant.keys import can_be_sent
from feedback.errors import HoneError

WATCH_EVERY_S = 0.02
MOST_BYTES = 8_000_000
"""The longest answer, or single event, that is read: whatever has no end would else fill the memory."""

Cut = Literal["stopped", "late"]
Json = Any


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    connect_s: until it takes the connection. answer_s: until a small question is answered, an adapter's
    loading included. first_token_s, between_tokens_s: while a reply is written. after_end_s: for its count of
    tokens, once it is whole. retry_s: how long a reply looks for a server before its first token. probe_s:
    between two looks at a server that is well. linger_s: how long an adapter that nobody asks for stays
    loaded.
    """

    connect_s: float = 5.0
    answer_s: float = 60.0
    first_token_s: float = 180.0
    between_tokens_s: float = 60.0
    after_end_s: float = 2.0
    retry_s: float = 30.0
    probe_s: float = 5.0
    linger_s: float = 600.0


class Exchange:
    """One request under way. `cut` may be called by any thread; it ends the reading at once."""

    def __init__(self, stop: Callable[[], bool], first_s: float, next_s: Callable[[], float]) -> None:
        self._stop, self._next_s = stop, next_s
        self._deadline = time.monotonic() + first_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.was_cut: Cut | None = None

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Something came. Nobody waits for the server meanwhile; then the wait for the next thing begins."""
        self._deadline = math.inf
        yield
        self._deadline = time.monotonic() + self._next_s()

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
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):  # a proxy's go by other names
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
        self._client = _client(self.url, patience)

    def get(self, path: str) -> Json:
        """What the server answers to a small question."""
        return self._small("GET", path, None, _never)

    def post(self, path: str, body: Json, stop: Callable[[], bool] | None = None) -> Json:
        """The same, with something sent. Plain text comes back as a string."""
        return self._small("POST", path, body, stop or _never)

    def events(
        self, path: str, body: Json, stop: Callable[[], bool], whole: Callable[[], bool]
    ) -> Generator[Json, None, None]:
        """The JSON of each event that the server sends, until it says that it is done, or ends.

        `whole`: whether what came is all that matters; then little is waited for what else may come.
        CutError when `stop` became true, BusyError or another ServerError when the server failed,
        RefusedError when it said no. Closing the generator ends the server's work.
        """
        patience = self._patience
        exchange = Exchange(
            stop,
            patience.first_token_s,
            lambda: patience.after_end_s if whole() else patience.between_tokens_s,
        )
        with (
            self._asking(exchange),
            self._client.stream("POST", path, json=body, extensions={"trace": exchange.trace}) as response,
        ):
            if not response.is_success:
                raise self._error(response)
            for data in self._event_data(response.iter_bytes()):
                if exchange.was_cut:  # within this event, which looks like one that is no JSON
                    break
                if data == "[DONE]":
                    return
                with exchange.at_rest():
                    yield self._parsed(data)

    def _small(self, method: str, path: str, body: Json, stop: Callable[[], bool]) -> Json:
        exchange = Exchange(stop, self._patience.answer_s, lambda: self._patience.answer_s)
        with (
            self._asking(exchange),
            self._client.stream(method, path, json=body, extensions={"trace": exchange.trace}) as response,
        ):
            if not response.is_success:
                raise self._error(response)
            text = self._text(response)
        return self._parsed(text) if "json" in response.headers.get("content-type", "") else text

    def _error(self, response: httpx.Response) -> HoneError:
        return remote_errors.of_answer(self.url, response.status_code, response.headers, self._text(response))

    def _text(self, response: httpx.Response) -> str:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            self._check_size(body)
        return body.decode("utf-8", "replace")

    def _event_data(self, chunks: Iterator[bytes]) -> Iterator[str]:
        """The data of server-sent events; the whole answer, where it is JSON or a page instead of a stream.

        Lines are cut at line feeds only: JSON may carry the separators that httpx's own reader of lines cuts
        at. llama.cpp has written errors as `error:` where others write `data:`.
        """
        rest = bytearray()
        begun = is_whole = False
        for chunk in chunks:
            rest += chunk
            self._check_size(rest)
            if not begun and rest.strip():
                begun, is_whole = True, rest.lstrip()[:1] in (b"{", b"<")
            if is_whole or b"\n" not in chunk:
                continue
            *lines, rest = rest.split(b"\n")
            yield from _data_in(lines)
        yield from [rest.decode("utf-8", "replace")] if is_whole else _data_in([rest])

    def _check_size(self, body: bytearray) -> None:
        if len(body) > MOST_BYTES:
            raise ServerError(
                f"The server {self.url} answers without an end.",
                f"More than {MOST_BYTES // 1_000_000} MB came in one piece.",
                "Check that it is a server of a model.",
            )

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
        if exchange.was_cut == "late" or error is None:
            return ServerError(
                f"The server {self.url} did not answer.", "It took too long.", "Look at that server's log."
            )
        return remote_errors.of_connection(self.url, error)

    def _parsed(self, text: str) -> Json:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ServerError(
                f"The server {self.url} sent something that is not JSON.",
                f"It begins with {remote_errors.words(text)[:60]!r}.",
                "Check that it is a server of a model.",
            ) from error


def address(url: str) -> str:
    """`url` without the `/v1` that some people write and others do not. HoneError for no address."""
    trimmed = url.strip().rstrip("/").removesuffix("/v1")
    try:
        parsed = httpx.URL(trimmed)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise HoneError(f"{url!r} is no address of a server.", "", "Give one such as http://127.0.0.1:8000.")
    return trimmed


def _client(url: str, patience: Patience) -> httpx.Client:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    # A proxy of this machine's settings has no business between Hone and a server beside it.
    is_own = is_loopback(httpx.URL(url).host)
    try:
        return httpx.Client(
            base_url=url,
            headers=_authorization(),
            timeout=httpx.Timeout(None, connect=patience.connect_s),
            limits=limits,
            transport=httpx.HTTPTransport(limits=limits) if is_own else None,
        )
    except (ImportError, ValueError, OSError) as error:  # a proxy or a certificate that cannot be used
        raise HoneError(
            f"The server {url} cannot be asked.",
            f"{error}".rstrip(".") + ".",
            "Mend HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE, or unset them.",
        ) from error


def _authorization() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not can_be_sent(key):
        raise HoneError(
            f"{KEY_VARIABLE} is no API key.",
            "It holds characters that no header of HTTP may have.",
            "Set it to the server's API key.",
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def _never() -> bool:
    return False


def _data_in(lines: Sequence[bytes | bytearray]) -> Iterator[str]:
    for line in lines:
        if line.startswith((b"data:", b"error:")):
            yield line.partition(b":")[2].decode("utf-8", "replace").strip()
