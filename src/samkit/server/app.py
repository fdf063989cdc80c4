"""The application."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles

import samkit
from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.media.writing import temporary_folder
from samkit.server.annotate import (
    Project,
    VideoProject,
    annotation_routes,
    video_annotation_routes,
)
from samkit.server.bodies import Room
from samkit.server.errors import add_error_handlers
from samkit.server.guard import Guard
from samkit.server.images import Embeddings, image_routes
from samkit.server.inference import Inference
from samkit.server.labelstudio import PATHS, LabelStudio, label_studio_routes
from samkit.server.metrics import Metrics
from samkit.server.reference import REFERENCE_POLICY, reference_page
from samkit.server.settings import ServerSettings
from samkit.server.state import ServerState
from samkit.server.videos import Sessions, video_routes

__all__ = ["create_app"]

_PAGE = Path(__file__).parent / "page"
# The page needs nothing of other places.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(
    predictors: ImagePredictor | Mapping[str, ImagePredictor],
    settings: ServerSettings | None = None,
    *,
    project: Project | VideoProject | None = None,
    label_studio: LabelStudio | None = None,
) -> FastAPI:
    """A server for programs, as an ASGI application.

    Images are looked at once and prompted as often as wanted, videos are sessions. It is described
    in docs/server.md, and by itself at `/docs` and `/openapi.json`.

    Run it in one process: what clients have sent lies there.

    Args:
        predictors: one, or several by name, of which the first is the default.
        settings: what is allowed; by default what suits programs on this machine.
        project: photographs or a video to be annotated on the server's page, which is at `/` then.
        label_studio: that Label Studio may ask it too, and where its images are.

    Raises:
        InputError: there is no predictor, or it is something else; or nothing can be written to the
            folder of the settings.
    """
    settings = ServerSettings() if settings is None else settings
    if isinstance(predictors, ImagePredictor):
        predictors = {"default": predictors}
    if not isinstance(settings, ServerSettings):
        raise InputError(f"settings: expected ServerSettings, got {type(settings).__name__}")
    if (
        not isinstance(predictors, Mapping)
        or not predictors
        or not all(isinstance(one, ImagePredictor) for one in predictors.values())
    ):
        raise InputError("predictors: expected an ImagePredictor, or some by name")
    metrics, kept = Metrics(), ExitStack()
    parent = Path(tempfile.gettempdir()) if settings.folder is None else settings.folder
    try:
        folder = kept.enter_context(temporary_folder(parent))
    except OSError as error:
        raise InputError(f"cannot write in {parent}: {error.strerror}") from error
    state = ServerState(
        predictors=dict(predictors),
        settings=settings,
        inference=Inference(settings.waiting, metrics),
        metrics=metrics,
        room=Room(settings.pending_bytes),
        folder=folder,
    )
    embeddings, sessions = Embeddings(state), Sessions(state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        state.inference.close()
        embeddings.clear()
        sessions.clear()
        kept.close()

    app = FastAPI(
        title="samkit",
        version=samkit.__version__,
        description="Promptable segmentation of images and videos.",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.inference = state.inference  # for whoever runs it
    add_error_handlers(app)
    app.include_router(image_routes(state, embeddings), prefix="/v1")
    app.include_router(video_routes(state, sessions), prefix="/v1")
    _add_service_routes(app, state, embeddings, sessions)
    if project is not None:
        if isinstance(project, VideoProject):
            routes = video_annotation_routes(state, project)
        else:
            routes = annotation_routes(state, embeddings, project)
        app.include_router(routes, prefix="/v1/project")
        _add_page(app)
    if label_studio is not None:
        app.include_router(label_studio_routes(state, embeddings, label_studio))
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(
        Guard,
        settings=settings,
        metrics=metrics,
        room=state.room,
        passwords=() if label_studio is None else PATHS,
    )
    return app


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
        return FileResponse(_PAGE / "index.html", headers=headers)

    app.mount("/page", StaticFiles(directory=_PAGE))


def _add_service_routes(
    app: FastAPI, state: ServerState, embeddings: Embeddings, sessions: Sessions
) -> None:
    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        headers = {"Content-Security-Policy": REFERENCE_POLICY}
        return HTMLResponse(reference_page(app.openapi()), headers=headers)

    @app.get("/healthz", tags=["service"])
    async def health() -> dict[str, str]:
        """Whether it runs. Needs no token."""
        return {"status": "ok", "version": samkit.__version__}

    @app.get("/v1/models", tags=["service"])
    async def models() -> dict[str, Any]:
        """The models that can be asked for; the first one is the default."""
        return {
            "models": [
                {
                    "name": name,
                    "input_size": list(one.network.config.image_size),
                    "candidates": one.network.config.mask_decoder.candidates,
                    "tracks": one.network.has_memory,
                }
                for name, one in state.predictors.items()
            ]
        }

    @app.get("/metrics", tags=["service"], response_class=Response)
    async def metrics(request: Request) -> Response:
        """Figures for Prometheus."""
        for kind, store in (("embeddings", embeddings), ("sessions", sessions)):
            awake, asleep = store.counts()
            state.metrics.kept.labels(kind, "memory").set(awake)
            state.metrics.kept.labels(kind, "disk").set(asleep)
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")
