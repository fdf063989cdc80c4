"""What the page of `samkit annotate` asks for."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from samkit.image_predictor import ImageEmbedding
from samkit.masks import Masks
from samkit.server.annotate.pictures import mask_picture
from samkit.server.annotate.project import EXPORTS, Project
from samkit.server.annotate.sidecars import KeptObject, Name, ObjectRequest
from samkit.server.annotate.tiles import TILE
from samkit.server.images import Embeddings
from samkit.server.state import ServerState, owner_of

__all__ = ["annotation_routes"]

T = TypeVar("T")

_Index = Annotated[int, Path(ge=0, lt=2**31, description="Number of the image.")]
_Level = Annotated[int, Path(ge=0, lt=64)]
_Place = Annotated[int, Path(ge=0, lt=2**31)]


class _Done(BaseModel):
    done: bool


class _Export(BaseModel):
    form: str = "coco"


class _Class(BaseModel):
    name: Annotated[Name, Field(min_length=1)]


def annotation_routes(state: ServerState, embeddings: Embeddings, project: Project) -> APIRouter:
    """Routes below /v1/project."""
    router = APIRouter(tags=["annotation"])
    model, predictor = state.model(None)

    async def run(
        name: str, work: Callable[[], T], request: Request, *, patient: bool = False
    ) -> T:
        return await state.inference.run(name, work, request, patient=patient)

    def embedding(request: Request, index: int) -> ImageEmbedding:
        image, name = project.images[project.check(index)], project.names[index]
        _, kept = embeddings.make(owner_of(request), model, predictor, image, name)
        return kept.value

    def made(request: Request, index: int, object_id: int | None, wanted: ObjectRequest) -> Masks:
        objects = project.sidecar(index, model).objects
        base = next((one.base for one in objects if one.id == object_id), None)
        return project.mask(index, wanted, predictor, partial(embedding, request, index), base)

    @router.get("")
    async def overview(request: Request) -> Any:
        """All images with what is done, and the classes."""

        def work() -> dict[str, Any]:
            images = [
                {"name": name, "state": project.state(i)} for i, name in enumerate(project.names)
            ]
            return {
                "kind": "photographs",
                "images": images,
                "classes": project.classes,
                "model": model,
                "exports": list(EXPORTS),
                "folder": str(project.folder),
            }

        return await run("project", work, request)

    @router.post("/classes", status_code=201)
    async def add_class(request: Request, new: _Class) -> dict[str, Any]:
        """Add a class."""

        def work() -> dict[str, Any]:
            project.classes.add(new.name)
            return {"classes": project.classes}

        return await run("project", work, request)

    @router.get("/images/{index}")
    async def image(request: Request, index: _Index) -> Any:
        """An image: its size, its tiles, and its objects with the pictures of their masks."""

        def work() -> dict[str, Any]:
            pyramid, sidecar = project.pyramid(index), project.sidecar(index, model)
            masks = sidecar.masks
            return {
                "name": project.names[index],
                "image_size": list(sidecar.image_size),
                "levels": pyramid.levels,
                "tile": TILE,
                "done": sidecar.done,
                "objects": [
                    _as_json(one, masks.masks[i] if not masks.is_compressed else masks[i].masks[0])
                    for i, one in enumerate(sidecar.objects)
                ],
            }

        return JSONResponse(await run("image", work, request))

    @router.get("/images/{index}/tiles/{level}/{column}/{row}", response_class=Response)
    async def tile(
        request: Request, index: _Index, level: _Level, column: _Place, row: _Place
    ) -> Response:
        """A tile as JPEG; level 0 is the image in full."""

        def work() -> bytes:
            return project.pyramid(index).tile(level, column, row)

        headers = {"Cache-Control": "private, max-age=3600"}
        content = await run("tile", work, request, patient=True)
        return Response(content, media_type="image/jpeg", headers=headers)

    @router.post("/images/{index}/ready")
    async def ready(request: Request, index: _Index) -> dict[str, Any]:
        """Look at an image, so that clicks are answered at once."""
        await run("embed", partial(embedding, request, index), request, patient=True)
        return {}

    @router.post("/images/{index}/mask")
    async def mask(
        request: Request, index: _Index, wanted: ObjectRequest, object_id: int | None = None
    ) -> Response:
        """The mask of what was clicked and painted, as a picture. Nothing is kept."""

        def work() -> dict[str, Any]:
            masks = made(request, index, object_id, wanted)
            return mask_picture(masks.masks[0]) | {"score": float(masks.scores[0])}

        return JSONResponse(await run("mask", work, request))

    @router.post("/images/{index}/everything")
    async def everything(request: Request, index: _Index) -> Response:
        """All masks that are found, as pictures, to be picked from by their numbers."""

        def work() -> dict[str, Any]:
            found = project.search(index, predictor, embedding(request, index))
            pictures = [mask_picture(found[i].masks[0]) for i in range(len(found))]
            return {
                "masks": [
                    picture | {"score": float(score)}
                    for picture, score in zip(pictures, found.scores, strict=True)
                ]
            }

        return JSONResponse(await run("everything", work, request))

    def kept(request: Request, index: int, object_id: int | None, wanted: ObjectRequest) -> Any:
        masks = made(request, index, object_id, wanted)
        one = project.put(index, object_id, wanted, masks, model)
        return _as_json(one, masks.masks[0])

    @router.post("/images/{index}/objects", status_code=201)
    async def add(request: Request, index: _Index, wanted: ObjectRequest) -> Response:
        """Keep a new object; it is saved when this is answered."""
        work = partial(kept, request, index, None, wanted)
        return JSONResponse(await run("accept", work, request), 201)

    @router.put("/images/{index}/objects/{object_id}")
    async def change(
        request: Request, index: _Index, object_id: int, wanted: ObjectRequest
    ) -> Response:
        """Change an object; it is saved when this is answered."""
        work = partial(kept, request, index, object_id, wanted)
        return JSONResponse(await run("accept", work, request))

    @router.delete("/images/{index}/objects/{object_id}", status_code=204)
    async def remove(request: Request, index: _Index, object_id: int) -> Response:
        """Delete an object."""
        await run("remove", partial(project.remove, index, object_id), request)
        return Response(status_code=204)

    @router.put("/images/{index}/done")
    async def set_done(request: Request, index: _Index, wanted: _Done) -> dict[str, Any]:
        """Say whether an image is done."""
        await run("done", partial(project.set_done, index, wanted.done), request)
        return {"state": project.state(index)}

    @router.post("/export")
    async def export(request: Request, wanted: _Export) -> dict[str, Any]:
        """Write the objects of all images to the project's folder."""
        path = await run("export", partial(project.export, wanted.form), request)
        return {"path": str(path)}

    return router


def _as_json(one: KeptObject, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return one.model_dump(mode="json", exclude={"rle", "base"}) | {"mask": mask_picture(mask)}
