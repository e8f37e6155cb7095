"""The way in and out: the login page, its form, and the session cookie.

Knows accounts and HTTP; no other page.
"""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from assistant import accounts
from assistant.accounts import COOKIE, SESSION_DAYS, LoginLimit, TooManyAttemptsError, User
from assistant.api.context import Rooms, rooms
from feedback import look
from feedback.errors import ForbiddenError, HoneError

LONGEST_FORM_BYTES = 8_192
NO_ACCOUNTS = ForbiddenError(
    "This server answers only its own machine.",
    "It has no accounts yet.",
    "Make one with: hone users add NAME",
)


def router(limit: LoginLimit) -> APIRouter:
    """Routes /login and /logout. `limit` counts failures for as long as the server runs."""
    made = APIRouter(include_in_schema=False)

    @made.get("/login")
    def form(request: Request, next: str = "/") -> Response:
        user = rooms(request).access.find(request)
        if user:
            return RedirectResponse(landing(inside(next), user), status_code=303)
        if not accounts.exist(rooms(request).store):
            return HTMLResponse(refusal_page(NO_ACCOUNTS), status_code=NO_ACCOUNTS.status)
        return HTMLResponse(login_page(inside(next)))

    @made.post("/login")
    async def enter(request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=8, max_part_size=LONGEST_FORM_BYTES)
        name, password, after = (str(fields.get(key, "")) for key in ("name", "password", "next"))
        address = request.client.host if request.client else "unknown"
        try:
            limit.check(f"name {name.lower()}", f"address {address}")
            token = await run_in_threadpool(accounts.log_in, rooms(request).store, name, password)
        except HoneError as error:
            if not isinstance(error, TooManyAttemptsError):
                limit.failed(f"name {name.lower()}", f"address {address}")
            return HTMLResponse(login_page(inside(after), name, str(error)), status_code=error.status)
        user = await run_in_threadpool(accounts.session_user, rooms(request).store, token)
        answer = RedirectResponse(landing(inside(after), user), status_code=303)
        _set_cookie(answer, token, rooms(request))
        return answer

    @made.post("/logout")
    def leave(request: Request) -> Response:
        if token := request.cookies.get(COOKIE):
            accounts.log_out(rooms(request).store, token)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    return made


def inside(target: str) -> str:
    """`target` if it is a path of this server, else the start page: a login link must not lead elsewhere."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\", "/login", "/logout"))
    return target if safe and target.isprintable() else "/"


def landing(target: str, user: User | None) -> str:
    """Where to go after a login: the page asked for; for the start page, the first that the roles open."""
    if target != "/" or user is None:
        return target
    return next((path for _, _, path, role in look.PAGES if role in user.roles), "/")


def _set_cookie(answer: Response, token: str, parts: Rooms) -> None:
    answer.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_DAYS * 86_400,
        path="/",
        httponly=True,
        samesite="lax",
        secure=parts.secure,
    )


STYLE = """
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--hone-bg);color:var(--hone-text);
  font:16px/1.5 var(--hone-font)}
main{width:min(22rem,calc(100vw - 2.5rem));padding:2rem;box-sizing:border-box;background:var(--hone-surface);
  border:1px solid var(--hone-line);border-radius:var(--hone-radius-l);box-shadow:var(--hone-shadow)}
h1{margin:0 0 .25rem;font-size:1.35rem}p{margin:0 0 1.25rem;color:var(--hone-muted)}
label{display:block;margin:.9rem 0 .3rem;font-weight:600;font-size:.9rem}
input{width:100%;box-sizing:border-box;padding:.6rem .7rem;font:inherit;color:inherit;
  background:var(--hone-bg);  border:1px solid var(--hone-line-strong);border-radius:var(--hone-radius)}
button,.button{display:block;width:100%;box-sizing:border-box;margin-top:1.4rem;padding:.65rem;font:inherit;
  font-weight:600;text-align:center;text-decoration:none;cursor:pointer;border:0;border-radius:var(--hone-radius);
  background:var(--hone-accent);color:var(--hone-on-accent)}
.plain{margin-top:.7rem;background:none;color:var(--hone-accent)}
:is(input,button,.button):focus-visible{outline:2px solid var(--hone-accent);outline-offset:2px}
.error{margin:0 0 1rem;padding:.6rem .8rem;border-radius:var(--hone-radius);background:var(--hone-bad-soft);
  color:var(--hone-bad)}
"""


def _page(title: str, main: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{look.plain_css()}{STYLE}</style></head><body><main>{main}</main>"
        "</body></html>"
    )


def login_page(after: str, name: str = "", error: str = "") -> str:
    """The form, as HTML. `after`: the path to go to; `error`: a sentence about the last attempt."""
    alert = f'<p class="error" role="alert" data-testid="login-error">{escape(error)}</p>' if error else ""
    focus = "password" if name else "name"
    return _page(
        "Log in - Hone",
        "<h1>Hone</h1><p>Log in to go on.</p>"
        f'{alert}<form method="post" action="/login">'
        f'<input type="hidden" name="next" value="{escape(after)}"><label for="name">Name</label>'
        '<input id="name" name="name" autocomplete="username" required maxlength="64"'
        f' value="{escape(name)}"{" autofocus" if focus == "name" else ""}>'
        '<label for="password">Password</label><input id="password" name="password" type="password"'
        ' autocomplete="current-password" required maxlength="1024"'
        f"{' autofocus' if focus == 'password' else ''}>"
        '<button type="submit">Log in</button></form>',
    )


def refusal_page(error: HoneError) -> str:
    """A page that says why this person may not see what they asked for, with a way on."""
    return _page(
        "Not allowed - Hone",
        f"<h1>{escape(error.what)}</h1><p>{escape(' '.join(filter(None, (error.why, error.todo))))}</p>"
        '<a class="button" href="/login">Go to a page you may open</a>'
        '<form method="post" action="/logout">'
        '<button class="plain" type="submit">Log in as somebody else</button></form>',
    )
