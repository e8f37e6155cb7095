"""Puts the API, the login and the rooms' pages into one web server.

Assembles only; the rules live in the parts.
"""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from assistant import login, static_files
from assistant.accounts import Access, LoginLimit
from assistant.api import router as api
from assistant.api.context import Rooms
from assistant.astray import check_text
from assistant.astray import router as astray
from assistant.described import describe
from assistant.guard import Guard
from assistant.openai_api import router as openai_api
from assistant.problems import error_json, invalid
from assistant.prompt_bench import PromptBench
from assistant.turns import Turns
from feedback import look
from feedback.errors import HoneError
from feedback.people import Role

if TYPE_CHECKING:
    import gradio as gr


SHUTDOWN_S = 5
LOOK_S, PROGRESS_S = 0.05, 0.1
"""How often a Gradio page looks for clicks and for progress to show."""


@dataclass(frozen=True)
class Site:
    """Where the server listens, and what is said of its model. `hosts`: further names it may be called by."""

    host: str = "127.0.0.1"
    port: int = 7860
    hosts: tuple[str, ...] = ()
    secure: bool = False  # reached over https only: cookies say so
    device: str = ""


@dataclass(frozen=True)
class RolePage:
    """A Gradio page of a room, its path ("/", "/label"), and the role that it asks for."""

    path: str
    role: Role
    blocks: "gr.Blocks"
    head: str = ""


def make_app(
    turns: Turns,
    access: Access,
    site: Site,
    pages: Sequence[RolePage],
    routers: Sequence[APIRouter] = (),
    bench: PromptBench | None = None,
) -> FastAPI:
    """The whole server as one ASGI app, which closes `turns` when it ends. `pages`: one for each role;
    `routers`: what other rooms add to the API; `bench`: the prompt page's, which the API then shares.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        turns.close()

    app = FastAPI(title="Hone", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    bench = bench or PromptBench(turns.store, turns.engine)
    app.state.rooms = Rooms(turns.store, turns, access, site.device, site.secure, bench)
    _tell_errors(app)
    app.include_router(login.router(LoginLimit()))
    # Routes are tried in this order, which takes a millisecond for the last: programs count them, so theirs
    # are first.
    for router in (openai_api(), api, *routers):
        app.include_router(router, dependencies=[Depends(check_text)])
    app.include_router(static_files.router)
    app.include_router(astray)
    app.openapi = cache(partial(describe, app))  # type: ignore[method-assign]
    for page in sorted(pages, key=lambda page: page.path == "/"):
        _mount(app, page, access, site)
    mounts: dict[str, Role] = {page.path.rstrip("/"): page.role for page in pages}
    mounts.setdefault("", "chatter")
    app.add_middleware(Guard, access=access, mounts=mounts, hosts=(site.host, *site.hosts))
    return app


def run(app: FastAPI, site: Site) -> None:
    """Serve until Ctrl-C or SIGTERM; replies in progress are then stopped, so that no open stream delays."""
    import uvicorn

    turns: Turns = app.state.rooms.turns

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # In a thread: a signal handler must not wait, and closing waits for the store.
            threading.Thread(target=turns.close, daemon=True).start()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, host=site.host, port=site.port, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_S
    )
    with suppress(KeyboardInterrupt):  # which uvicorn raises again when all is closed
        Server(config).run()


def _mount(app: FastAPI, page: RolePage, access: Access, site: Site) -> None:
    import gradio as gr

    # A Mount at /label answers /label/... only; without this, /label itself would fall to the page at "/".
    if page.path != "/":
        app.add_api_route(page.path, lambda: RedirectResponse(f"{page.path}/"), include_in_schema=False)

    def name_of(request: Request) -> str | None:
        user = access.find(request)
        return user.name if user and page.role in user.roles else None

    # show_error: a handler's own sentence reaches its page; the page must not put anything secret into one.
    gr.mount_gradio_app(
        app,
        page.blocks,
        path=page.path,
        server_name=site.host,
        server_port=site.port,
        auth_dependency=name_of,
        footer_links=[],
        run_history=False,
        show_error=True,
        theme=look.theme(),
        head=look.head() + page.head,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
    )
    # Gradio looks a thousand times a second, on each page, which takes a tenth of a core from the model.
    queue = page.blocks._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = LOOK_S, PROGRESS_S


def _tell_errors(app: FastAPI) -> None:
    """Every error leaves in one shape, and none with a traceback."""

    @app.exception_handler(HoneError)
    def _hone(request: Request, error: HoneError) -> JSONResponse:
        return error_json(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return error_json(invalid(error.errors(), request.url.path), request.url.path)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        told = HoneError(f"{error.detail}.")
        told.status = error.status_code
        return error_json(told, request.url.path)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> JSONResponse:
        told = HoneError("The server failed at this request.", "Its log has the details.")
        told.status = 500
        return error_json(told, request.url.path)
