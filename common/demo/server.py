"""The address of the page, its start and its end."""

import dataclasses
import errno
import logging
import signal
import socket
import tempfile
import threading
from pathlib import Path

from common import cli, files, photos
from common.cli import UserError
from common.colorize.settings import Settings
from common.demo import offline, page
from common.demo.gate import Gate
from common.demo.quiet import gradio
from common.demo.studio import Studio

PORT, PORTS = 7860, 100  # where none is given: the first of them that is free
_PREFIX = "colorization-demo-"


@dataclasses.dataclass(frozen=True)
class Options:
    """Where the page is served, and what it takes.

    port: None is the first free one from `PORT` on. max_megabytes: of one upload, in all its files;
    max_megapixels: larger pictures are refused. isolate: as `engine.started` takes it.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    max_megabytes: float = 500.0
    max_megapixels: float = photos.MAX_MEGAPIXELS
    isolate: str = "auto"


def serve(options: Options, how: Settings) -> None:
    """Serve the page until the process is interrupted; `UserError` where it cannot be."""
    models = page.models(how)
    home = Path(tempfile.gettempdir()).resolve()
    with files.own_folder(home, _PREFIX) as folder:
        library = gradio(folder)
        from starlette.middleware import Middleware

        port = free_port(options.host, options.port)
        tempfile.tempdir = str(folder)  # uploads, while they arrive
        offline.hold_to(options.host)
        studio = Studio(options.max_megapixels, options.isolate)
        try:
            local = offline.is_here(options.host, "") and options.host not in ("0.0.0.0", "::")
            blocks = page.build(library, studio, folder, models, local)
            gate = Middleware(
                Gate, host=options.host, folder=folder, megabytes=options.max_megabytes
            )
            host = f"[{options.host}]" if ":" in options.host else options.host
            try:
                blocks.launch(
                    server_name=host,
                    server_port=port,
                    prevent_thread_lock=True,
                    quiet=True,
                    share=False,
                    inbrowser=False,
                    inline=False,
                    show_error=False,
                    footer_links=[],
                    run_history=False,
                    enable_monitoring=False,
                    ssr_mode=False,
                    pwa=False,
                    mcp_server=False,
                    max_file_size=int(options.max_megabytes * 1e6),
                    app_kwargs={
                        "middleware": [gate],
                        "docs_url": None,
                        "redoc_url": None,
                        "openapi_url": None,
                    },
                    **page.look(library),
                )
            except OSError as error:
                raise UserError(f"The page cannot be served: {cli.first_line(error)}.") from None
            cli.say(f"http://{host}:{port}/  (Ctrl-C ends it, and removes what was uploaded)")
            try:
                studio.prepare(next(iter(models.values())))
                _wait()
            finally:
                logging.getLogger("uvicorn.error").disabled = True  # pages still open are no error
                blocks.server.force_exit = True  # and are not waited for
                blocks.close(verbose=False)
        finally:
            studio.close()


def free_port(host: str, port: int | None) -> int:
    """A port of `host` on which nothing listens: the one given, or else the first from `PORT` on.

    `UserError` where it is taken, or where the host is no address of this machine.
    """
    wanted = range(PORT, PORT + PORTS) if port is None else [port]
    for each in wanted:
        try:
            (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
                host, each, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
            return each
        except socket.gaierror:
            raise _no_address(host) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _no_address(host) from None
            if error.errno == errno.EACCES:
                raise UserError(
                    f"PORT={each} needs rights that this process lacks. Take one from 1024 on."
                ) from None
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"HOST={host}: {cli.reason(error)}.") from None
    if port is None:
        raise UserError(f"Ports {PORT} to {PORT + PORTS - 1} are all in use. Name another: PORT=.")
    raise UserError(
        f"PORT={port} is in use, perhaps by another page. Name another, or none: then the first "
        "free one is taken."
    )


def _no_address(host):
    return UserError(
        f"HOST={host} is no address of this machine. Take 127.0.0.1, for this machine alone, or "
        "0.0.0.0, for whoever reaches it."
    )


def _wait():
    """Until an interrupt, or a signal to end; then what `serve` holds is put away."""
    stop = threading.Event()
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in ends}
    try:
        while not stop.wait(1):  # in parts, so that signals are seen on every system
            pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
