"""The web server of the studio: one address that others cannot guess, for this machine only.

Owns who may ask for what. All lies below a random token in the path; what comes from pages of other sites, or
by way of a name that only pretends to be this machine (DNS rebinding), is refused; and the page may load
nothing from elsewhere.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kmcodec.studio.page import Start, build_routes

_HOST = "127.0.0.1"
_NAMES = (_HOST, "localhost")

# NiceGUI's scripts stand in the page, and Vue compiles templates there.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Guard:
    """Refuse what does not come from a page of this server.

    Parameters
    ----------
    app : ASGI application
    port : int
        Of this server.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in _NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._is_own(scope):
            await self._app(scope, receive, _add_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    def _is_own(self, scope: Scope) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        is_own_page = origin is None or urlsplit(origin).netloc in self._hosts
        return headers.get(b"host") in self._hosts and is_own_page


def _add_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(header for header in _HEADERS.items() if header[0] not in own),
            ]
        await send(message)

    return send_with_headers


def serve(port: int, start: Start | None, on_ready: Callable[[str], None]) -> None:
    """Serve the studio until the process is interrupted. May be called once in a process.

    Parameters
    ----------
    port : int
        0 for any that is free.
    start : Start or None
        A file that is opened in each new tab.
    on_ready : callable
        Is told the address of the page when it can be opened.

    Raises
    ------
    OSError
        If the port is taken.
    KeyboardInterrupt
        When the process is interrupted.
    """
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        # What the last one that stopped has left behind does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        port = listener.getsockname()[1]
        build_routes(start)
        # There is nothing but the page: no documentation, which would load scripts from elsewhere.
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        ui.run_with(
            app,
            title="kmq studio",
            dark=None,
            language="en-US",
            mount_path=f"/{token}",
            tailwind=False,
            show_welcome_message=False,
            gzip_middleware_factory=None,
            # Those of one page, whose token is another the next time.
            cache_control_directives="private, max-age=3600",
        )
        for name in ("nicegui", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.ERROR)
        server = _Server(
            uvicorn.Config(
                Guard(app, port),
                access_log=False,
                log_level="error",
                timeout_graceful_shutdown=1,
                # What the page sends are settings; files come by HTTP.
                ws_max_size=1 << 20,
                lifespan="on",
            ),
            lambda: on_ready(f"http://{_HOST}:{port}/{token}/"),
        )
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
