"""The routes that Label Studio asks of a machine learning backend."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import samkit
from samkit.errors import InputError
from samkit.server.images import Embeddings, KeptEmbedding
from samkit.server.labelstudio.answers import as_prediction
from samkit.server.labelstudio.images import TaskImages
from samkit.server.labelstudio.origins import LabelStudio
from samkit.server.labelstudio.questions import PredictRequest, question_of
from samkit.server.state import ServerState
from samkit.server.wire import as_prompts

__all__ = ["PATHS", "label_studio_routes"]

PATHS = ("/health", "/setup", "/predict")
"""All of the routes. Label Studio cannot send a token otherwise than as a password."""


def label_studio_routes(
    state: ServerState, embeddings: Embeddings, label_studio: LabelStudio
) -> APIRouter:
    """Routes at the root."""
    router = APIRouter(tags=["Label Studio"])
    images = TaskImages(state, embeddings, label_studio)
    model, predictor = state.model(None)
    version = f"samkit {samkit.__version__} {model}"

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether it runs, as Label Studio asks it."""
        return {"status": "UP", "model_class": "samkit"}

    @router.post("/setup")
    async def setup() -> dict[str, str]:
        """The model's version. What Label Studio says of itself here is not used."""
        return {"model_version": version}

    @router.post("/predict")
    async def predict(request: Request, wanted: PredictRequest) -> Response:
        """Masks of what was clicked in a task: one for each label."""
        question = question_of(wanted)
        if question is None:  # nothing was clicked
            return JSONResponse({"results": []})
        if not question.prompts:  # nothing on an object; one result is expected all the same
            nothing = {"result": [], "score": 0.0, "model_version": version}
            return JSONResponse({"results": [nothing]})
        labels, prompts = list(question.prompts), as_prompts(list(question.prompts.values()))

        def work(kept: KeptEmbedding) -> dict[str, Any]:
            if kept.image_size != question.image_size:
                (height, width), (h, w) = kept.image_size, question.image_size
                raise InputError(f"expected regions of {width} x {height} pixels, got {w} x {h}")
            masks = predictor.predict(kept.value, prompts)
            return as_prediction(masks, labels, question.tags, version)

        return JSONResponse({"results": [await images.use(request, question.image, work)]})

    return router
