"""The routes of the page: files, the viewers' socket, the socket for a browser's own camera, health and metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from edgewise.runtime.aside import aside
from edgewise.runtime.web.hub import Channel
from edgewise.runtime.web.metrics import CONTENT_TYPE, metrics_text
from edgewise.spec import EdgewiseError

MAX_VIEWERS, MAX_CAMERAS = 16, 4
MAX_WAITING = 8
"""Commands of a viewer that wait for the one before; with more, it is not listened to."""

MAX_COMMAND = 2048
"""Longest message of a viewer, in characters."""

FILES = {
    "/": "index.html", "/live.js": "live.js", "/camera.js": "camera.js", "/charts.js": "charts.js",
    "/live.css": "live.css", "/icon.svg": "icon.svg",
}  # fmt: skip
PAGE = Path(__file__).parent / "page"
_TRY_LATER = 1013
"""WebSocket close code, RFC 6455 and its registry: try again later."""


_FAILED = 1011
"""The same: the server met what it did not expect."""


class Visit(Protocol):
    """One browser's camera. A protocol, because the app knows nothing of models."""

    def answer(self, jpeg: bytes) -> dict[str, Any]:
        """Classify a picture; called in a worker thread. Raises EdgewiseError for what is no picture."""


class Show(Protocol):
    """What is shown."""

    channel: Channel

    def change(self, command: dict[str, Any]) -> None:
        """Carry out what a viewer asks for; called in a worker thread. Raises EdgewiseError once viewers know."""

    def still(self) -> bytes | None:
        """The last picture as JPEG; None: there was none yet. Called in a worker thread."""

    def visit(self) -> Visit:
        """Begin with a browser's camera."""


class _Page:
    def __init__(self, show: Show) -> None:
        self.show, self.cameras = show, 0

    async def file(self, request: Request) -> Response:
        return FileResponse(PAGE / FILES[request.url.path])

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        watched = {"viewers": self.show.channel.viewers, "cameras": self.cameras}
        return PlainTextResponse(metrics_text({**self.show.channel.newest.message, **watched}), media_type=CONTENT_TYPE)

    async def live(self, socket: WebSocket) -> None:
        """Send the newest answer and picture, then wait until the viewer asks for the next."""
        await socket.accept()
        if self.show.channel.viewers >= MAX_VIEWERS:
            await socket.close(_TRY_LATER)
            return
        ready, commands = asyncio.Event(), asyncio.Queue[dict[str, Any]](MAX_WAITING)
        ready.set()
        with self.show.channel.viewer():
            # Opening a model takes a while, and pictures go on meanwhile.
            tasks = [
                asyncio.create_task(self._send(socket, ready)),
                asyncio.create_task(self._carry_out(socket, commands)),
            ]
            try:
                await self._listen(socket, ready, commands)
            except (WebSocketDisconnect, RuntimeError):
                pass  # the viewer left
            finally:
                for task in tasks:
                    task.cancel()

    async def _send(self, socket: WebSocket, ready: asyncio.Event) -> None:
        seen = 0
        while True:
            await ready.wait()
            news = await self.show.channel.after(seen)
            ready.clear()
            # Who comes while the source is silent sees its last picture.
            jpeg = news.jpeg if news.jpeg or seen else await asyncio.to_thread(self.show.still)
            seen = news.number
            try:
                await socket.send_text(json.dumps({**news.message, "picture": jpeg is not None}))
                if jpeg is not None:
                    await socket.send_bytes(jpeg)
            except (WebSocketDisconnect, RuntimeError):
                return  # the viewer left

    async def _carry_out(self, socket: WebSocket, commands: asyncio.Queue[dict[str, Any]]) -> None:
        try:
            while True:
                # Not in the loop's own threads: the server would not end before a model is open.
                await asyncio.wrap_future(aside(_carried_out, self.show, await commands.get()))
        except Exception:
            await socket.close(_FAILED)  # so that the page connects again, and is heard
            raise

    async def _listen(self, socket: WebSocket, ready: asyncio.Event, commands: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            command = _command(await socket.receive_text())
            if command.get("type") == "next":
                ready.set()
            else:
                await commands.put(command)

    async def camera(self, socket: WebSocket) -> None:
        """Classify what a browser's camera sees; the browser sends a picture once the last one is answered."""
        await socket.accept()
        if self.cameras >= MAX_CAMERAS:
            await socket.close(_TRY_LATER)
            return
        self.cameras += 1
        try:
            visit = self.show.visit()
            while True:
                message = await asyncio.to_thread(_answer, visit, await socket.receive_bytes())
                await socket.send_text(json.dumps(message))
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass  # the browser left, or sent text where a picture is due
        finally:
            self.cameras -= 1


def make_app(show: Show) -> Starlette:
    """The page for ``show``. It has no guard: see `edgewise.runtime.web.guard`."""
    page = _Page(show)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        show.channel.open()
        yield

    routes = [
        *(Route(path, page.file) for path in FILES),
        Route("/healthz", page.health),
        Route("/metrics", page.metrics),
        WebSocketRoute("/live", page.live),
        WebSocketRoute("/camera", page.camera),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _command(text: str) -> dict[str, Any]:
    """A viewer's message; what is none is ignored, as a browser that sends such is broken or not ours."""
    try:
        command = json.loads(text) if len(text) <= MAX_COMMAND else {}
    except (ValueError, RecursionError):
        command = {}
    return command if isinstance(command, dict) else {}


def _carried_out(show: Show, command: dict[str, Any]) -> None:
    with suppress(EdgewiseError):  # the show has told its viewers
        show.change(command)


def _answer(visit: Visit, jpeg: bytes) -> dict[str, Any]:
    try:
        return visit.answer(jpeg)
    except EdgewiseError as error:
        return {"status": "lost", "notice": str(error), "label": None}
