"""A running server's API as a door for a terminal. Knows HTTP and the shapes of /api, no terminal.

The standard library's client is enough: one request at a time, and server-sent events are lines.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlsplit

from assistant.accounts import is_loopback
from assistant.keys import can_be_sent
from assistant.terminal.door import Growing, Listed, Pair, Said, Step, Way
from feedback.comparisons import Verdict
from feedback.errors import HoneError
from feedback.ids import ConversationId, MessageId

T = TypeVar("T")

UNLIKE_HONE = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an answer raises when it is not of the shape that Hone's API gives."""
ANSWER_S = 60.0  # the stream of a reply says every 15 s that it is still there


class ServerError(HoneError):
    """What the server answered instead; `status` is its HTTP status, 0 when it did not answer at all."""

    def __init__(self, status: int, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo)
        self.status = status


class RemoteDoor:
    """A person's chats on the server at `address`; `key` is the API key, where the server has accounts."""

    def __init__(self, address: str, key: str = "") -> None:
        parts = _parts(address)
        host = str(parts.hostname)
        self._address = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Content-Type": "application/json"}
        key = key.strip()
        if not can_be_sent(key):
            raise HoneError(
                "HONE_KEY is no API key.",
                "It holds characters that no key has.",
                "Copy it anew, or ask the operator for another.",
            )
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # A proxy of this machine's settings has no business between a person and their own machine.
        own = [urllib.request.ProxyHandler({})] if is_loopback(host) else []
        self._opener = urllib.request.build_opener(*own)

    def model(self) -> str:
        return self._call("GET", "/status", lambda found: str(found["champion"]["name"]))

    def ways(self) -> Sequence[Way]:
        return self._call("GET", "/strategies", _ways)

    def listing(self, search: str = "") -> Sequence[Listed]:
        return self._call("GET", f"/conversations?search={quote(search, safe='')}", _listing)

    def thread(self, conversation_id: ConversationId) -> Sequence[Said]:
        return self._call("GET", f"/conversations/{quote(conversation_id, safe='')}", _thread)

    def create(self) -> ConversationId:
        return self._call("POST", "/conversations", lambda found: ConversationId(found["id"]), {})

    def send(
        self, conversation_id: ConversationId, parent_id: MessageId | None, text: str, strategy: str
    ) -> MessageId:
        body = {"content": text, "parent_id": parent_id, "settings": {"strategy": strategy}}
        return self._call("POST", f"/conversations/{conversation_id}/messages", _reply_id, body)

    def regenerate(self, reply_id: MessageId, strategy: str) -> MessageId:
        body = {"settings": {"strategy": strategy}}
        return self._call("POST", f"/replies/{reply_id}/regenerate", _reply_id, body)

    def watch(self, reply_id: MessageId) -> Iterator[Growing]:
        state = Growing("writing")
        try:
            with self._open("GET", f"/replies/{reply_id}/events?shape=text") as stream:
                for line in stream:
                    if line.startswith(b"data: "):
                        state = _growing(json.loads(line.removeprefix(b"data: ")))
                        yield state
        except (OSError, http.client.HTTPException) as error:
            raise _broken_off(f"The system says: {error}.") from error
        except UNLIKE_HONE as error:
            raise self._foreign() from error
        if not state.finished:  # http.client takes the end of a killed server for that of the stream
            raise _broken_off("It closed the connection.")

    def stop(self, reply_id: MessageId) -> None:
        self._call("POST", f"/replies/{reply_id}/stop", _nothing, {})

    def rate(self, reply_id: MessageId, value: int, reason: str) -> None:
        self._call("PUT", f"/replies/{reply_id}/rating", _nothing, {"value": value, "reason": reason})

    def demonstrate(self, reply_id: MessageId, text: str) -> None:
        self._call("PUT", f"/replies/{reply_id}/demonstration", _nothing, {"content": text})

    def compare(self, reply_id: MessageId) -> Pair:
        return self._call("POST", f"/replies/{reply_id}/compare", _pair, {})

    def vote(self, pair: Pair, verdict: Verdict) -> tuple[str, str]:
        return self._call("PUT", f"/comparisons/{pair.id}/vote", _writers, {"verdict": verdict})

    def close(self) -> None:
        pass

    def _call(
        self, method: str, path: str, read: Callable[[Any], T], body: dict[str, Any] | None = None
    ) -> T:
        """What `read` finds in the answer."""
        try:
            with self._open(method, path, body) as answer:
                return read(json.load(answer))
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error) from error
        except UNLIKE_HONE as error:
            raise self._foreign() from error

    def _open(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._address}/api{path}", data=data, headers=self._headers, method=method
        )
        try:
            return self._opener.open(request, timeout=ANSWER_S)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except urllib.error.URLError as error:
            raise self._silent(error.reason) from error

    def _silent(self, reason: object) -> ServerError:
        return ServerError(
            0,
            f"The server {self._address} does not answer.",
            f"The system says: {reason}.",
            "Start it with `hone serve`, or name another with --server.",
        )

    def _foreign(self) -> ServerError:
        return ServerError(
            0,
            f"What answers at {self._address} is no Hone server.",
            "It does not speak Hone's API, or that of another version.",
            "Name another with --server.",
        )

    def _refusal(self, answer: urllib.error.HTTPError) -> ServerError:
        """The server's own sentence; one of ours where it has none."""
        with answer:
            try:
                error = json.load(answer)["error"]
                what, why, todo = error["what"], error["why"], error["todo"]
            except UNLIKE_HONE:
                what = f"{self._address} answered with status {answer.code}."
                why = "It gave no reason as Hone would: another program may stand there, or before it."
                todo = "Check --server."
        if answer.code == 401:
            todo = "Give an API key of this server in HONE_KEY."
        return ServerError(answer.code, what, why, todo)


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        known = parts.scheme in ("http", "https") and parts.port != 0 and " " not in parts.netloc
    except ValueError:  # a port beyond all ports, half a bracket
        known = False
    if not known or not parts.hostname:
        raise HoneError(
            f"{address} is no server's address.", todo="Write it as http://127.0.0.1:7860, for example."
        )
    return parts


def _broken_off(why: str) -> ServerError:
    return ServerError(
        0,
        "The server broke off in the middle of this reply.",
        why,
        "What was written is kept: go on with `hone chat --continue` when it runs again.",
    )


def _nothing(_found: Any) -> None:
    return None


def _ways(found: Any) -> list[Way]:
    ways = [Way(one["name"], one["title"]) for one in found["strategies"]]
    if not ways:
        raise ValueError("a Hone server has strategies")
    return ways


def _listing(found: Any) -> list[Listed]:
    return [Listed(one["id"], one["title"], one["updated_at"]) for one in found["conversations"]]


def _thread(found: Any) -> list[Said]:
    return [Said(one["id"], one["role"], one["content"]) for one in found["thread"]]


def _reply_id(found: Any) -> MessageId:
    return MessageId(found["reply_id"])


def _pair(found: Any) -> Pair:
    return Pair(found["id"], found["left"]["id"], found["right"]["id"])


def _writers(found: Any) -> tuple[str, str]:
    left, right = (found[side]["record"]["model_version"] for side in ("left", "right"))
    return (left or {}).get("name", ""), (right or {}).get("name", "")


def _growing(data: dict[str, Any]) -> Growing:
    steps = tuple(Step(step["title"], step["text"], step["remark"]) for step in data["steps"])
    said = (data["status"], data["content"], data["reasoning"])
    notes = tuple(sentence for _, sentence in data["notes"])
    return Growing(*said, steps, data["waiting"], data["error"], data["agreement"], notes)
