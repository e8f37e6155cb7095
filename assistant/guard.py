"""The door of the server: every request passes here before any route, page or file.

Knows HTTP and roles; no page.

Gradio leaves several of its own routes open, whatever a page's `auth_dependency` says, so the rule stands
in front of all of them and refuses by default: a path that is not open asks for a login, and each mount
asks for its role. It also keeps other websites out (Host and Origin are checked) and sets the headers that
stop a page from being framed.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assistant import accounts, keys
from assistant.accounts import Access, UnauthenticatedError, User
from assistant.problems import error_json, is_openai
from feedback.errors import ForbiddenError, HoneError
from feedback.people import Role

OPEN_PATHS = ("/login", "/logout", "/favicon.ico")
OPEN_FOLDER = "/ui/"
API = "/api/"
DOCS = "/api/docs"
READS = ("GET", "HEAD", "OPTIONS")
LARGEST_BODY_BYTES = 4 * 1024 * 1024

# Gradio's front end needs inline scripts and styles, and evaluates the handlers that a page gives it.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:;"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


# A server that listens on every address answers for all of them. Names still have to be given with `hosts`: a
# foreign name that is made to point here (DNS rebinding) is what the check is for, and an address cannot be.
WILDCARDS = frozenset(("0.0.0.0", "::"))


class ForeignRequestError(ForbiddenError):
    """The request comes from, or is meant for, another site."""


def host_of(value: str) -> str:
    """The host in a Host header, without its port, lower case, brackets off: `[::1]:7860` is `::1`."""
    return (urlsplit(f"//{value}").hostname or "").lower()


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_origin(
    headers: Mapping[str, str], method: str, hosts: Collection[str], keyed: bool = False
) -> None:
    """ForeignRequestError for a Host that is not ours (DNS rebinding) or a foreign Origin (CSRF).

    `keyed`: the request stands on an API key alone, so that its Origin says nothing.
    """
    host = headers.get("host", "")
    try:
        name = host_of(host)
    except ValueError:
        name = ""
    everywhere = is_address(name) and not WILDCARDS.isdisjoint(hosts)
    if not (accounts.is_loopback(name) or name in hosts or everywhere):
        raise ForeignRequestError(
            f"This server does not answer for {host or 'a request without a host'}.",
            "Else a foreign page could have its own name point here.",
            "If the name is this server's, start it with `hone serve --name NAME`.",
        )
    if keyed:
        return  # no browser adds a key by itself, and a request with one has no other authority
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise _another_site()
    site = headers.get("sec-fetch-site", "same-origin")
    if method not in READS and origin is None and site not in ("same-origin", "none"):
        raise _another_site()


def _another_site() -> ForeignRequestError:
    return ForeignRequestError(
        "Another site's page may not use this server.",
        "Else any page that one opens could ask in one's name.",
        "Let that site's server ask, with an API key.",
    )


def for_programs(path: str) -> bool:
    """Whether `path` belongs to one of the two APIs."""
    return path.startswith(API) or is_openai(path)


def role_of(path: str, mounts: Mapping[str, Role]) -> Role:
    """The role of a path's mount. `mounts`: path without a last slash -> role; "" is the rest."""
    for mount, role in mounts.items():
        if mount and (path == mount or path.startswith(f"{mount}/")):
            return role
    return mounts[""]


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(
        self, app: ASGIApp, access: Access, mounts: Mapping[str, Role], hosts: Collection[str]
    ) -> None:
        self._app, self._access, self._mounts = app, access, dict(mounts)
        self._hosts = frozenset(host.strip("[]").lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(Request(scope))
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
        else:
            await self._app(scope, _limited(receive), _with_headers(send))

    async def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that may not pass, or None."""
        try:
            path = request.url.path
            keyed = for_programs(path) and keys.bearer(request.headers) is not None
            check_origin(request.headers, request.method, self._hosts, keyed)
            if too_large(request.headers):
                return error_json(TooLargeError("The request is too large."), path)
            if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
                return None
            user = await run_in_threadpool(self._access.current_user, request)
            if for_programs(path):
                return None  # each route of the API checks its own role
            _check_role(user, role_of(path, self._mounts))
        except HoneError as error:
            return _refused(request, error)
        return None


class TooLargeError(HoneError):
    status = 413


def too_large(headers: Headers) -> bool:
    length = headers.get("content-length", "0")
    return not length.isdigit() or int(length) > LARGEST_BODY_BYTES


def _limited(receive: Receive) -> Receive:
    """Cuts off a body that claims no length and never ends."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return {"type": "http.disconnect"} if read > LARGEST_BODY_BYTES else message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending


def _check_role(user: User, role: Role) -> None:
    if role not in user.roles:
        raise ForbiddenError(
            f"This page needs the role {role}.",
            f"{user.name} has {', '.join(sorted(user.roles)) or 'no role'}.",
            "Ask an operator for it.",
        )


def _refused(request: Request, error: HoneError) -> Response:
    wants_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    if not wants_page or (for_programs(request.url.path) and request.url.path != DOCS):
        return error_json(error, request.url.path)
    if isinstance(error, UnauthenticatedError):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(asked, safe='')}", status_code=303)
    from assistant.login import refusal_page

    return HTMLResponse(refusal_page(error), status_code=error.status)
