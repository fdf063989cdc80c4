"""What the page of `samkit annotate` asks for when it shows a video."""

import io
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image
from pydantic import BaseModel, Field

from samkit.server.annotate.pictures import mask_picture
from samkit.server.annotate.sidecars import Name, TrackAbout, VideoPrompt
from samkit.server.annotate.video_project import VIDEO_EXPORTS, VideoProject
from samkit.server.events import event, event_stream
from samkit.server.state import ServerState

__all__ = ["video_annotation_routes"]

T = TypeVar("T")

_Frame = Annotated[int, Path(ge=0, lt=2**31, description="Number of the frame.")]


class _Track(BaseModel):
    start: Annotated[int, Field(ge=0)]
    direction: Literal["forward", "backward"] = "forward"


class _Export(BaseModel):
    form: str = "mp4"


class _Class(BaseModel):
    name: Annotated[Name, Field(min_length=1)]


def video_annotation_routes(state: ServerState, project: VideoProject) -> APIRouter:
    """Routes below /v1/project."""
    router = APIRouter(tags=["annotation"])
    model, predictor = state.model(None)
    project.begin(predictor, model)

    async def run(name: str, work: Callable[[], T], request: Request, **options: bool) -> T:
        return await state.inference.run(name, work, request, **options)

    @router.get("")
    async def overview(request: Request) -> Any:
        """The video, its objects with what is known of them in which frames, and the classes."""

        def work() -> dict[str, Any]:
            return {
                "kind": "video",
                "name": project.name,
                "frames": project.count,
                "rate": project.rate,
                "image_size": list(project.image_size),
                "model": model,
                "exports": list(VIDEO_EXPORTS),
                "folder": str(project.folder),
                **_objects(project),
            }

        return JSONResponse(await run("project", work, request))

    @router.post("/classes", status_code=201)
    async def add_class(request: Request, new: _Class) -> dict[str, Any]:
        """Add a class."""
        await run("project", partial(project.classes.add, new.name), request)
        return {"classes": project.classes}

    @router.get("/frames/{frame}", response_class=Response)
    async def picture(request: Request, frame: _Frame) -> Response:
        """A frame as JPEG."""

        def work() -> bytes:
            file = io.BytesIO()
            Image.fromarray(project.picture(frame)).save(file, "JPEG", quality=90)
            return file.getvalue()

        headers = {"Cache-Control": "private, max-age=3600"}
        content = await run("frame", work, request, patient=True)
        return Response(content, media_type="image/jpeg", headers=headers)

    @router.get("/frames/{frame}/masks")
    async def masks(request: Request, frame: _Frame) -> Response:
        """The masks of a frame as pictures, and what was prompted there."""
        work = partial(_masks, project, frame)
        return JSONResponse(await run("masks", work, request, patient=True))

    @router.post("/prompts")
    async def prompt(request: Request, wanted: VideoPrompt) -> Response:
        """Prompt or correct an object; it is saved when this is answered."""

        def work() -> dict[str, Any]:
            number = project.prompt(wanted)
            return {"object_id": number, **_all(project, wanted.frame)}

        return JSONResponse(await run("prompt", work, request))

    @router.post("/undo")
    async def undo(request: Request) -> Response:
        """Take back the last prompt, with what was tracked of its object since."""

        def work() -> dict[str, Any]:
            frame, number = project.undo()
            return {"object_id": number, **_all(project, frame)}

        return JSONResponse(await run("undo", work, request))

    @router.put("/objects/{object_id}")
    async def change(request: Request, object_id: int, about: TrackAbout) -> Response:
        """Say what an object is; it is saved when this is answered."""

        def work() -> dict[str, Any]:
            project.change(object_id, about)
            return _objects(project)

        return JSONResponse(await run("accept", work, request))

    @router.delete("/objects/{object_id}")
    async def remove(request: Request, object_id: int) -> Response:
        """Forget an object in all frames."""

        def work() -> dict[str, Any]:
            project.remove(object_id)
            return _objects(project)

        return JSONResponse(await run("remove", work, request))

    @router.post("/track", response_class=StreamingResponse)
    async def track(request: Request, wanted: _Track) -> Response:
        """Track all objects from a frame on, as server-sent events.

        Events: `frame` with what is known of a frame, as soon as it is tracked; `end`; or `error`.
        Closing the connection ends tracking.
        """
        backward = wanted.direction == "backward"
        begin = partial(project.track, wanted.start, backward=backward)
        numbers = await run("track", begin, request)

        def next_event() -> str | None:
            frame = next(numbers, None)
            return None if frame is None else event("frame", _masks(project, frame), frame)

        async def step() -> str | None:
            return await run("frame tracked", next_event, request, patient=True)

        # Which saves what was tracked.
        return event_stream(step, lambda: state.inference.soon(numbers.close))

    @router.post("/export")
    async def export(request: Request, wanted: _Export) -> dict[str, Any]:
        """Write the masks of all frames to the project's folder."""
        path = await run("export", partial(project.export, wanted.form), request)
        return {"path": str(path)}

    return router


def _all(project: VideoProject, frame: int) -> dict[str, Any]:
    return {**_objects(project), **_masks(project, frame)}


def _objects(project: VideoProject) -> dict[str, Any]:
    return {
        "objects": [
            one.model_dump() | {"timeline": project.tracks.timeline(number, project.count)}
            for number, one in project.objects.items()
        ],
        "looks": [
            {"frame": one.frame, "object_id": one.object_id, "reason": one.reason}
            for one in project.worth_a_look()
        ],
        "classes": project.classes,
        "can_undo": project.tracker.last_prompt is not None,
        "failure": project.failure,
    }


def _masks(project: VideoProject, frame: int) -> dict[str, Any]:
    masks, there = project.masks(frame), project.tracks.frames.get(frame, {})
    found = []
    for number, one in zip(masks.object_ids.tolist(), masks, strict=True):
        seen = there[number]
        found.append(
            {
                "id": number,
                "kind": seen.kind,
                "is_there": seen.is_there,
                "score": seen.score,
                "presence": seen.presence,
                "mask": mask_picture(one.masks[0]),
            }
        )
    prompts = [
        {"id": number, **given[frame].to_dict(), "mask": None}
        for number, given in project.tracker.prompts.items()
        if frame in given
    ]
    return {"frame": frame, "masks": found, "prompts": prompts}
