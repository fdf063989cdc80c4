"""Applications with tiny random networks, and clients of them."""

from dataclasses import replace

import pytest
import torch
from fastapi.testclient import TestClient
from tiny import make, tiny_sam, tiny_sam2
from videos import make_video

from samkit import ImagePredictor
from samkit.server import ServerSettings, create_app


@pytest.fixture(scope="session")
def predictors():
    """A network with memory, whose objects are always there, and one without."""
    tracker = make(replace(tiny_sam2(), image_size=(64, 64)))
    with torch.no_grad():
        head = tracker.mask_decoder.pred_obj_score_head.layers[-1]
        head.bias.fill_(5.0)
        head.weight.zero_()
    networks = {"tracker": tracker, "plain": make(tiny_sam())}
    return {
        name: ImagePredictor(one, device="cpu", dtype="float32") for name, one in networks.items()
    }


@pytest.fixture
def serving(predictors, tmp_path):
    """Make clients of an application with these settings, and end them."""
    clients = []

    def serving(project=None, label_studio=None, **settings):
        folder = tmp_path / "kept"
        folder.mkdir(exist_ok=True)
        app = create_app(
            predictors,
            ServerSettings(**{"folder": folder, **settings}),
            project=project,
            label_studio=label_studio,
        )
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield serving
    for client in clients:
        client.__exit__(None, None, None)
    assert not list((tmp_path / "kept").glob("*"))  # nothing is left over


@pytest.fixture
def client(serving):
    return serving()


@pytest.fixture
def clip(tmp_path):
    """A film of twelve frames 48 x 32."""
    return make_video(tmp_path / "clip.mkv", 12, size=(48, 32), codec="ffv1")
