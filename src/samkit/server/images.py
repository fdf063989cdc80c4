"""Images: embeddings that are kept, masks of prompts, everything mode."""

import hashlib
import io
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from samkit.errors import ImageError
from samkit.files import open_file
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.mask_generator import AutomaticMaskGenerator
from samkit.server.errors import ApiError
from samkit.server.state import ServerState, owner_of
from samkit.server.store import Store
from samkit.server.uploads import file_or_bytes, unnamed
from samkit.server.wire import Format, MaskRequest, as_prompts, masks_as_json

__all__ = ["Embeddings", "image_routes"]

# Prompts whose masks are answered with logits, which take far more than masks.
_WITH_LOGITS = 100
# Bytes of a file that are read at once.
_PART = 2**20

_Model = Annotated[str | None, Query(description="One of /v1/models; by default the first.")]
_BODY = {
    "requestBody": {
        "description": 'The bytes of an image, a form with one `file`, or {"path": ...} below the '
        "server's root.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}


class KeptEmbedding:
    """An embedding in memory, or in a file.

    Args:
        embedding: what is kept.
        model: name of its model.
        file: where it lies while it sleeps.
    """

    def __init__(self, embedding: ImageEmbedding, model: str, file: Path) -> None:
        self._embedding: ImageEmbedding | None = embedding
        self._file = file
        self.model, self.image_size = model, embedding.image_size
        self.size = sum(tensor.nbytes for tensor in embedding.features.tensors)

    @property
    def value(self) -> ImageEmbedding:
        """The embedding, while it is awake."""
        assert self._embedding is not None
        return self._embedding

    @property
    def is_awake(self) -> bool:
        return self._embedding is not None

    def wake(self) -> None:
        if self._embedding is None:
            self._embedding = ImageEmbedding.load(self._file)

    def sleep(self) -> None:
        if not self._file.exists():
            self.value.save(self._file)
        self._embedding = None

    def drop(self) -> None:
        self._file.unlink(missing_ok=True)


class Embeddings(Store[KeptEmbedding]):
    """The embeddings that clients have had made."""

    def __init__(self, state: ServerState) -> None:
        settings = state.settings
        super().__init__(
            "embedding",
            awake=settings.memory_bytes,
            most=settings.disk_bytes,
            seconds=settings.seconds,
        )
        self._folder = state.folder

    def make(
        self,
        owner: str,
        model: str,
        predictor: ImagePredictor,
        image: Path | bytes,
        called: str = "the file",
    ) -> tuple[str, KeptEmbedding]:
        """Embed an image, unless that was done before -> the id, and what is kept.

        Raises:
            ImageError: it cannot be read; the message calls it as `called` says.
        """
        with unnamed(image, called):
            name = _digest(model, image)
        if not self.has(owner, name):
            file = (
                self._folder
                / f"{hashlib.sha256(f'{owner}/{name}'.encode()).hexdigest()}.safetensors"
            )
            with unnamed(image, called):
                embedding = predictor.embed(image)
            self.put(owner, name, KeptEmbedding(embedding, model, file))
        return name, self.get(owner, name)


def _digest(model: str, image: Path | bytes) -> str:
    """An id that the same model and the same bytes always have."""
    digest = hashlib.sha256(model.encode() + b"\0")
    with io.BytesIO(image) if isinstance(image, bytes) else open_file(image, ImageError) as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()


def image_routes(state: ServerState, embeddings: Embeddings) -> APIRouter:
    """Routes below /v1."""
    router = APIRouter(tags=["images"])
    run, limits = state.inference.run, state.settings

    def about(name: str, kept: KeptEmbedding) -> dict[str, Any]:
        return {
            "id": name,
            "model": kept.model,
            "image_size": list(kept.image_size),
            "expires_in": limits.seconds,
        }

    @router.post("/embeddings", status_code=201, openapi_extra=_BODY)
    async def embed(request: Request, model: _Model = None) -> dict[str, Any]:
        """Look at an image once, for any number of prompts. The same image gives the same id."""
        name, predictor = state.model(model)
        image = await file_or_bytes(request, state)
        work = partial(embeddings.make, owner_of(request), name, predictor, image)
        return about(*await run("embed", work, request))

    @router.get("/embeddings/{name}")
    async def look_up(request: Request, name: str) -> dict[str, Any]:
        """What is kept by an id; 404 with the code `expired` if it is not there any more."""
        work = partial(embeddings.get, owner_of(request), name)
        return about(name, await run("look up", work, request))

    @router.delete("/embeddings/{name}", status_code=204)
    async def forget(request: Request, name: str) -> Response:
        """Forget an image."""
        await run("forget", partial(embeddings.drop, owner_of(request), name), request)
        return Response(status_code=204)

    @router.post("/embeddings/{name}/masks")
    async def masks(request: Request, name: str, wanted: MaskRequest) -> Response:
        """Masks of prompts: of each one, or three candidates."""
        if len(wanted.prompts) > limits.prompts:
            raise ApiError(422, "invalid", f"prompts: expected at most {limits.prompts}")
        if wanted.logits and len(wanted.prompts) > _WITH_LOGITS:
            raise ApiError(
                422, "invalid", f"prompts: expected at most {_WITH_LOGITS} where logits are wanted"
            )

        def work() -> dict[str, Any]:
            prompts = as_prompts(wanted.prompts)
            kept = embeddings.get(owner_of(request), name)
            predictor = state.predictors[kept.model]
            found = predictor.predict(kept.value, prompts, candidates=wanted.candidates)
            return masks_as_json(found, wanted.format, logits=wanted.logits)

        return JSONResponse(await run("masks", work, request))

    @router.post("/everything", openapi_extra=_BODY)
    async def everything(
        request: Request,
        model: _Model = None,
        preset: str = "default",
        points_per_side: Annotated[int | None, Query(ge=1, le=64)] = None,
        format: Format = "rle",
    ) -> Response:
        """All masks of an image."""
        _, predictor = state.model(model)
        options = {} if points_per_side is None else {"points_per_side": points_per_side}
        generator = AutomaticMaskGenerator(predictor, preset=preset, **options)
        image = await file_or_bytes(request, state)

        def work() -> dict[str, Any]:
            with unnamed(image):
                return masks_as_json(generator(image), format)

        return JSONResponse(await run("everything", work, request))

    return router
