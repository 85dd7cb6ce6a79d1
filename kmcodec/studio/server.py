"""The web server of the studio: one address that others cannot guess, for this machine only.

Owns who may ask for what. All lies below a random token in the path; what comes from pages of other sites, or
by way of a name that only pretends to be this machine (DNS rebinding), is refused; and the page may load
nothing from elsewhere.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Response
from nicegui import ui
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kmcodec.studio.page import Start, build_routes

_HOST = "127.0.0.1"
_NAMES = (_HOST, "localhost")

# How long a tab that has lost its connection is waited for.
_SECONDS_TO_RETURN = 600

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
        # Browsers leave out the port that is usual.
        hosts = [*(f"{name}:{port}" for name in _NAMES), *(_NAMES if port == 80 else ())]
        self._hosts = {host.encode() for host in hosts}
        self._origins = {b"http://" + host for host in self._hosts}

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
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        origins = {value for name, value in scope["headers"] if name == b"origin"}
        return len(hosts) == 1 and hosts[0] in self._hosts and origins <= self._origins


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


def serve(port: int, start: Start | None, on_ready: Callable[[str, str], None]) -> None:
    """Serve the studio until the process ends. May be called once in a process.

    Signals are left to the caller, who is not told of their end.

    Parameters
    ----------
    port : int
        0 for any that is free.
    start : Start or None
        A file that is opened in each new tab.
    on_ready : callable
        Is told the address of the page when it can be opened; and another one, which leads there once: other
        users of the machine see what a browser is started with.

    Raises
    ------
    OSError
        If the port is taken, or on_ready raises it.
    """
    with socket.socket() as listener:
        if os.name == "posix":
            # What the last one that stopped has left behind does not count. Elsewhere this shares the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        # Whoever asks from now on is answered as soon as the server runs.
        listener.listen()
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        build_routes(start)
        # There is nothing but the page: no documentation, which would load scripts from elsewhere.
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        ticket = _sell_ticket(app, f"/{token}/")
        ui.run_with(
            app,
            title="kmq studio",
            dark=None,
            language="en-GB",
            # Machines sleep, and browsers suspend tabs that are not seen: what is open would be lost.
            reconnect_timeout=_SECONDS_TO_RETURN,
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
                # What the page sends are settings; files come by HTTP.
                ws_max_size=1 << 20,
                lifespan="on",
                proxy_headers=False,
                server_header=False,
            )
        )
        address = f"http://{_HOST}:{port}"
        on_ready(f"{address}/{token}/", f"{address}{ticket}")
        server.run(sockets=[listener])


def _sell_ticket(app: FastAPI, path: str) -> str:
    """Return another path, which leads to a path the first time that it is asked for."""
    ticket = f"/{secrets.token_urlsafe(24)}"
    is_used = False

    @app.get(ticket)
    async def admit() -> Response:
        nonlocal is_used
        if is_used:
            text = "This address was good for once; kmq studio has printed the one that stays."
            return Response(text, 410, media_type="text/plain")
        is_used = True
        return Response(status_code=303, headers={"Location": path, "Cache-Control": "no-store"})

    return ticket


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield
