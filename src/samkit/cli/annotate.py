"""`samkit annotate`: a page to annotate photographs on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import Device, Dtype, Model, load_model
from samkit.cli.serve import run_server

__all__ = ["annotate"]


def annotate(
    images: Annotated[
        list[str], typer.Argument(metavar="PHOTO...", help="Files, folders or patterns.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="For what is made; the same one goes on."
        ),
    ] = Path("annotations"),
    classes: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of classes, with commas between them.")
    ] = "",
    model: Model = None,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Annotate photographs on a page in the browser.

    Every object is saved when it is accepted, with all clicks, in FOLDER/objects, from where the
    same command goes on. The page exports data sets into FOLDER.

    Example: samkit annotate photos/ --classes cup,plate
    """
    import secrets

    from samkit.server import Project, ServerSettings, create_app

    names = [name.strip() for name in classes.split(",") if name.strip()]
    project = Project(images, output, classes=names)
    predictor = load_model(model, device, dtype)
    # Other users of this machine can reach the address, and do not know the token.
    token = secrets.token_urlsafe(16)
    settings = ServerSettings(tokens=(token,))
    app = create_app({model or "pico": predictor}, settings, project=project)
    run_server(
        app, "127.0.0.1", port, "The page is at", page=f"/#token={token}", open_browser=browser
    )
