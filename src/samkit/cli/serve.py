"""`samkit serve`: a server for programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samkit.cli.options import Device, Dtype, load_model
from samkit.cli.usage import as_usage_error, usage_error
from samkit.errors import SamkitError

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["run_server", "serve"]

_LOCAL = ("127.0.0.1", "localhost", "::1")
# Of one image or frame, unless the environment says how many: 200 MB as RGB.
_IMAGE_PIXELS = 2**26
# A computer lets a process open 256 files at least, and some are for other things.
_CONNECTIONS = 200
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any.")] = 8000,
    models: Annotated[
        str,
        typer.Option(
            "--models", "-m", metavar="NAMES", help="Names or files, with commas between them."
        ),
    ] = "pico",
    token: Annotated[
        list[str],
        typer.Option(
            envvar="SAMKIT_TOKEN",
            metavar="TEXT",
            help="One of these has to come with each request; needed if other machines can reach "
            "the server. Better by the variable SAMKIT_TOKEN, which others do not see.",
        ),
    ] = [],  # noqa: B006
    allow_host: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A name by which the server is called; * for any."),
    ] = [],  # noqa: B006
    allow_origin: Annotated[
        list[str],
        typer.Option(metavar="ORIGIN", help="Web pages that may call it: https://example.org."),
    ] = [],  # noqa: B006
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Requests may name files below it instead of sending them.",
        ),
    ] = None,
    label_studio: Annotated[
        bool,
        typer.Option(
            "--label-studio", help="Answer Label Studio's clicks: /health, /setup, /predict."
        ),
    ] = False,
    label_studio_origin: Annotated[
        list[str],
        typer.Option(
            metavar="ORIGIN",
            help="Where its images may be fetched: https://studio.example.org. The first is Label "
            "Studio's own, and gets the token of its API in SAMKIT_LABEL_STUDIO_TOKEN.",
        ),
    ] = [],  # noqa: B006
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Of embeddings in memory, such as 500MB or 4GB.")
    ] = "1GB",
    waiting: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests that may wait; more are refused.")
    ] = 64,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Serve masks over HTTP: images by upload, prompts, everything mode, tracking.

    The API describes itself at /docs. It listens on this machine alone, unless --host says
    otherwise.

    Example: samkit serve --port 8000
    """
    if host not in _LOCAL and not token:
        raise usage_error("others can reach this address: give a --token", "--host")
    if any(len(one) < 8 for one in token):
        raise usage_error("expected at least 8 characters", "--token")
    if label_studio_origin and not label_studio:
        raise usage_error("give --label-studio too", "--label-studio-origin")

    from samkit.server import LabelStudio, ServerSettings, create_app
    from samkit.server.settings import LOOPBACK

    with as_usage_error("options"):
        settings = ServerSettings(
            tokens=tuple(token),
            hosts=(*LOOPBACK, host, *allow_host),
            origins=tuple(allow_origin),
            root=root,
            memory_bytes=_bytes(memory),
            waiting=waiting,
        )
        studio = LabelStudio(
            origins=tuple(label_studio_origin),
            token=os.environ.get("SAMKIT_LABEL_STUDIO_TOKEN", ""),
        )
    names = [name.strip() for name in models.split(",")]
    predictors = {name: load_model(name, device, dtype, "--models") for name in names}
    app = create_app(predictors, settings, label_studio=studio if label_studio else None)
    run_server(app, host, port, "samkit serves at", image_pixels=_IMAGE_PIXELS)


def _bytes(text: str) -> int:
    """A number of bytes, such as 500MB."""
    number, unit = text[:-2], text[-2:].upper()
    try:
        size = float(number) * _UNITS[unit]
        if not 0 < size < 2**63:
            raise ValueError
    except (KeyError, ValueError):
        raise usage_error(
            f"expected a size such as 500MB or 4GB, got {text!r}", "--memory"
        ) from None
    return int(size)


def run_server(
    app: FastAPI,
    host: str,
    port: int,
    announcement: str,
    *,
    page: str = "",
    image_pixels: int | None = None,
    open_browser: bool = False,
) -> None:
    """Listen until Ctrl-C or a signal to end.

    Args:
        app: what answers.
        host, port: where; port 0 is any.
        announcement: said before the address.
        page: said after it.
        image_pixels: limit of one image, unless the environment says another one.
        open_browser: whether to open it there.

    Raises:
        SamkitError: it cannot listen there.
    """
    import socket
    import threading
    import webbrowser

    import uvicorn

    from samkit.limits import set_limits
    from samkit.server.connections import Connection

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise SamkitError(f"cannot listen at {host}, port {port}: {reason}") from error
    with listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}{page}"
        typer.echo(f"{announcement} {address} (Ctrl-C ends it)")
        if open_browser:  # it listens already, so that the page comes once the server runs
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        if "SAMKIT_MAX_IMAGE_PIXELS" not in os.environ:
            set_limits(image_pixels=image_pixels)
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_level="warning",
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        app.state.inference.is_ending = lambda: server.should_exit
        server.run(sockets=[listener])
