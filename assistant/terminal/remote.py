"""A running server's API as a door for a terminal. Knows HTTP and the shapes of /api, no terminal.

The standard library's client is enough: one request at a time, and server-sent events are lines.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from assistant.accounts import is_loopback
from assistant.terminal.door import Growing, Listed, Pair, Said, Step, Way
from feedback.comparisons import Verdict
from feedback.errors import HoneError
from feedback.ids import ConversationId, MessageId

ANSWER_S = 60.0  # the stream of a reply says every 15 s that it is still there


class ServerError(HoneError):
    """What the server answered instead; `status` is its HTTP status, 0 when it did not answer at all."""

    def __init__(self, status: int, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo)
        self.status = status


class RemoteDoor:
    """A person's chats on the server at `address`; `key` is the API key, where the server has accounts."""

    def __init__(self, address: str, key: str = "") -> None:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HoneError(
                f"{address} is no server's address.", todo="Write it as http://127.0.0.1:7860, for example."
            )
        self._address = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # A proxy of this machine's settings has no business between a person and their own machine.
        own = [urllib.request.ProxyHandler({})] if is_loopback(parts.hostname) else []
        self._opener = urllib.request.build_opener(*own)

    def model(self) -> str:
        return str(self._call("GET", "/status")["champion"]["name"])

    def ways(self) -> Sequence[Way]:
        return [Way(one["name"], one["title"]) for one in self._call("GET", "/strategies")["strategies"]]

    def listing(self, search: str = "") -> Sequence[Listed]:
        found = self._call("GET", f"/conversations?search={quote(search, safe='')}")["conversations"]
        return [Listed(one["id"], one["title"], one["updated_at"]) for one in found]

    def thread(self, conversation_id: ConversationId) -> Sequence[Said]:
        shown = self._call("GET", f"/conversations/{quote(conversation_id, safe='')}")["thread"]
        return [Said(one["id"], one["role"], one["content"]) for one in shown]

    def create(self) -> ConversationId:
        return ConversationId(self._call("POST", "/conversations", {})["id"])

    def send(
        self, conversation_id: ConversationId, parent_id: MessageId | None, text: str, strategy: str
    ) -> MessageId:
        body = {"content": text, "parent_id": parent_id, "settings": {"strategy": strategy}}
        return MessageId(self._call("POST", f"/conversations/{conversation_id}/messages", body)["reply_id"])

    def regenerate(self, reply_id: MessageId, strategy: str) -> MessageId:
        body = {"settings": {"strategy": strategy}}
        return MessageId(self._call("POST", f"/replies/{reply_id}/regenerate", body)["reply_id"])

    def watch(self, reply_id: MessageId) -> Iterator[Growing]:
        try:
            with self._open("GET", f"/replies/{reply_id}/events?shape=text") as stream:
                for line in stream:
                    if line.startswith(b"data: "):
                        yield _growing(json.loads(line.removeprefix(b"data: ")))
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                0,
                "The server broke off in the middle of this reply.",
                str(error),
                "What was written is kept: go on with `hone chat --continue` when it runs again.",
            ) from error

    def stop(self, reply_id: MessageId) -> None:
        self._call("POST", f"/replies/{reply_id}/stop", {})

    def rate(self, reply_id: MessageId, value: int, reason: str) -> None:
        self._call("PUT", f"/replies/{reply_id}/rating", {"value": value, "reason": reason})

    def demonstrate(self, reply_id: MessageId, text: str) -> None:
        self._call("PUT", f"/replies/{reply_id}/demonstration", {"content": text})

    def compare(self, reply_id: MessageId) -> Pair:
        shown = self._call("POST", f"/replies/{reply_id}/compare", {})
        return Pair(shown["id"], shown["left"]["id"], shown["right"]["id"])

    def vote(self, pair: Pair, verdict: Verdict) -> tuple[str, str]:
        shown = self._call("PUT", f"/comparisons/{pair.id}/vote", {"verdict": verdict})
        left, right = (shown[side]["record"]["model_version"] for side in ("left", "right"))
        return (left or {}).get("name", ""), (right or {}).get("name", "")

    def close(self) -> None:
        pass

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            with self._open(method, path, body) as answer:
                return json.load(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._silent(error) from error

    def _open(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._address}/api{path}", data=data, headers=self._headers, method=method
        )
        try:
            return self._opener.open(request, timeout=ANSWER_S)
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except urllib.error.URLError as error:
            raise self._silent(error.reason) from error

    def _silent(self, reason: object) -> ServerError:
        return ServerError(
            0,
            f"The server {self._address} does not answer.",
            f"The system says: {reason}.",
            "Start it with `hone serve`, or name another with --server.",
        )


def _growing(data: dict[str, Any]) -> Growing:
    steps = tuple(Step(step["title"], step["text"], step["remark"]) for step in data["steps"])
    said = (data["status"], data["content"], data["reasoning"])
    notes = tuple(sentence for _, sentence in data["notes"])
    return Growing(*said, steps, data["waiting"], data["error"], data["agreement"], notes)


def _refusal(answer: urllib.error.HTTPError) -> ServerError:
    """The server's own sentence; one of ours where it has none."""
    with answer:
        try:
            error = json.load(answer)["error"]
            what, why, todo = error["what"], error["why"], error["todo"]
        except (ValueError, KeyError, TypeError):
            what, why, todo = f"The server answered with status {answer.code}.", "", ""
    if answer.code == 401:
        todo = "Give an API key of this server in HONE_KEY."
    return ServerError(answer.code, what, why, todo)
