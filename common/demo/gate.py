"""Which requests are answered, and what the page may fetch: a layer around Gradio's application.

Gradio answers many requests that this page does not need: it would fetch other pages, run code in a
mode for editing, and hand out whatever its rules on files allow.
"""

import ipaddress
import os
import re
import shutil
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_PAGE = re.compile(
    r"/(config|theme\.css|manifest\.json|favicon\.ico|robots\.txt"
    r"|(assets|static|svelte)/[\w./@+-]+"
    r"|gradio_api/(info|app_id|startup-events|heartbeat/\w+|upload|upload_progress|cancel|reset|run/predict"
    r"|queue/(join|data)))?"
)
_UPLOAD = "/gradio_api/upload"
_FILE = "/gradio_api/file="

HEADERS = {
    # The browser itself then fetches nothing from elsewhere, whatever a script asks for.
    "content-security-policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self' blob:; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# Photos do not stay in the browser's cache on disk.
_OF_FILES = {"cache-control": "private, no-store"}


class Gate:
    """An ASGI application around another.

    host: that serves, by which a page of another site whose name leads here is told. folder: the
    only one whose files are sent. megabytes: the most that one upload may have, in all its files.
    """

    def __init__(self, app: Any, host: str, folder: Path, megabytes: float) -> None:
        self._app, self._folder = app, os.path.realpath(folder)
        self._most = megabytes * 1e6
        machine = socket.gethostname().lower()
        self._names = {"localhost", host, machine, f"{machine}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with the reason why not, in one line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web socket is needed
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        status, reason = self._refusal(scope["path"], headers)
        if status:
            kind = (b"content-type", b"text/plain; charset=utf-8")
            await send({"type": "http.response.start", "status": status, "headers": [kind]})
            await send({"type": "http.response.body", "body": reason.encode()})
            return
        more = HEADERS | (_OF_FILES if scope["path"].startswith(_FILE) else {})

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].decode() not in more]
                message["headers"] = kept + [(k.encode(), v.encode()) for k, v in more.items()]
            await send(message)

        await self._app(scope, receive, sending)

    def _refusal(self, path, headers):
        """(status, reason) of a request that is refused, else (0, "")."""
        host = headers.get("host", b"").decode("latin-1")
        if not self._is_ours(host):
            return 403, "This page is not of that name: open it as it was printed."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            return 403, "A page of another site may not ask this one."
        if path.startswith(_FILE):
            inside = os.path.realpath(path.removeprefix(_FILE)).startswith(self._folder + os.sep)
            return (0, "") if inside else (403, "There is no such file here.")
        if ".." in path or not _PAGE.fullmatch(path):
            return 404, "There is nothing here."
        if path == _UPLOAD:
            return self._refused_upload(headers)
        return 0, ""

    def _refused_upload(self, headers):
        try:
            size = int(headers["content-length"])
        except (KeyError, ValueError):
            return 411, "An upload must say how large it is."
        if size > self._most:
            return 413, f"At most {self._most / 1e6:g} MB at a time."
        if size * 4 > shutil.disk_usage(self._folder).free:  # the result and previews as well
            return 507, "The disk of the machine that colours is full."
        return 0, ""

    def _is_ours(self, host):
        """Whether a request's Host is one that this page is opened by, not another site's name.

        An address cannot be made to lead elsewhere, as a name can.
        """
        name = (urlsplit(f"//{host}").hostname or "").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True
