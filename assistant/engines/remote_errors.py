"""What a server's failure means: whether it may be tried again, and the sentence for people. Pure; knows no
request.
"""

import email.utils
import html
import json
import re
import ssl
import time
from collections.abc import Mapping
from typing import Any

from feedback.errors import HoneError

Json = Any

KEY_VARIABLE = "HONE_REMOTE_KEY"
DEFAULT_BUSY_S = 1.0
"""How long a server that says it is busy, and no more, is left alone."""
MOST_CHARACTERS = 300
OTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


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

    def __init__(self, what: str, why: str, code: int, todo: str = "") -> None:
        if code in (401, 403):
            todo = f"Set {KEY_VARIABLE} to the server's API key."
        super().__init__(what, why, todo)
        self.code = code


class CutError(HoneError):
    """The request was cut from this side: somebody stopped it."""


def of_answer(url: str, code: int, headers: Mapping[str, str], text: str) -> HoneError:
    """What the answer of `url` with status `code`, which is no success, means."""
    message = _message(text)
    why = f"It said {code}: {message}"
    if 300 <= code < 400:
        place = words(headers.get("location", "")) or "nowhere"
        return RefusedError(
            f"The server {url} sends questions elsewhere.",
            f"It said {code}, to {place}.",
            code,
            "Give that address instead.",
        )
    if code in (429, 503):
        return BusyError(f"The server {url} is busy.", why, _retry_after_s(headers.get("retry-after")))
    if code >= 500 or code == 408:  # 408: a gateway's own patience ended
        return ServerError(f"The server {url} failed.", why, code=code)
    return RefusedError(f"The server {url} refused.", why, code)


def of_connection(url: str, error: Exception) -> ServerError:
    """What a connection to `url` that broke, or never was, means."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    why = f"The connection broke: {words(lines[0]).rstrip('.')}."
    return ServerError(f"The server {url} did not answer.", why, _what_to_do(error))


def _what_to_do(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in OTHER_NAME:
            return "Write the address with the name that its certificate has."
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "Let SSL_CERT_FILE name a file with the certificate of who signed that server's."
        if isinstance(cause, ssl.SSLError):
            return "Check whether its address begins with http:// or https://."
        cause = cause.__cause__ or cause.__context__
    return "Look whether it runs, and at its log."


def said(body: Json) -> str:
    """The words of an error that came as JSON, in any of the shapes that servers use, as a sentence's end."""
    found = body
    while isinstance(found, dict):
        found = next((found[name] for name in ("error", "message", "detail", "object") if name in found), "")
    return _ended(words(found if isinstance(found, str) else json.dumps(found)))


def words(text: str) -> str:
    """`text` on one line and not too long; of a page, its title."""
    if re.match(r"\s*<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = html.unescape(title[1] if title else re.sub(r"<[^>]*>", " ", text))
    printable = "".join(one if one.isprintable() else " " for one in text[: 10 * MOST_CHARACTERS])
    return " ".join(printable.split())[:MOST_CHARACTERS]


def _message(text: str) -> str:
    try:
        return said(json.loads(text))
    except (ValueError, RecursionError):
        return _ended(words(text))


def _ended(text: str) -> str:
    """`text` as the end of a sentence."""
    text = text or "nothing"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _retry_after_s(value: str | None) -> float:
    """Seconds or a date, as HTTP has it."""
    try:
        return max(0.0, float(value or DEFAULT_BUSY_S))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(str(value)).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError, IndexError):
        return DEFAULT_BUSY_S
