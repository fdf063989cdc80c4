"""`samkit annotate`: a page to annotate photographs or a video on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samkit.cli.options import Device, Dtype, Model, load_model
from samkit.cli.serve import run_server
from samkit.cli.usage import as_usage_error, check_there, usage_error

__all__ = ["annotate"]


def annotate(
    images: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...|VIDEO", help="Files, folders or patterns; or one video."),
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
    video: Annotated[
        bool, typer.Option("--video", help="A folder of pictures has the frames of a video.")
    ] = False,
    model: Model = None,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Annotate photographs, or a video, on a page in the browser.

    Every object is saved when it is accepted, with all clicks, in FOLDER, from where the same
    command goes on. The page exports data sets into FOLDER.

    Example: samkit annotate photos/ --classes cup,plate
    """
    import secrets

    from samkit.media import IMAGE_SUFFIXES, list_images
    from samkit.server import Project, ServerSettings, VideoProject, create_app

    names = [name.strip() for name in classes.split(",") if name.strip()]
    first = Path(images[0])
    video = video or (first.is_file() and first.suffix.lower() not in IMAGE_SUFFIXES)
    if video and len(images) > 1:
        raise usage_error("expected photographs, or a single video")
    project: Project | VideoProject
    if video:
        check_there(first, "VIDEO")
        project = VideoProject(first, output, classes=names)
    else:
        with as_usage_error("PHOTO"):
            photos = list_images(images)
        project = Project(photos, output, classes=names)
    predictor = load_model(model, device, dtype)
    # Other users of this machine can reach the address, and do not know the token.
    token = secrets.token_urlsafe(16)
    settings = ServerSettings(tokens=(token,))
    app = create_app({model or "pico": predictor}, settings, project=project)
    run_server(
        app, "127.0.0.1", port, "The page is at", page=f"/#token={token}", open_browser=browser
    )
