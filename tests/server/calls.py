"""What tests ask a server, and how its answers are read."""

import base64
import io
import json

import cv2
import numpy as np
from PIL import Image

from samkit import Prompt, rle

PROMPTS = [Prompt.box(5, 6, 40, 30), Prompt.point(20, 20) + Prompt.point(3, 4, label=0)]


def embed(client, content=None, **query):
    answer = client.post("/v1/embeddings", content=content or picture(), params=query)
    assert answer.status_code == 201, answer.text
    return answer.json()


def masks(client, name, prompts=PROMPTS, **options):
    body = {"prompts": [one.to_dict() for one in prompts], **options}
    return client.post(f"/v1/embeddings/{name}/masks", json=body)


def pixels_of(answer, format):
    """The masks of an answer (N, H, W), each drawn from its form."""
    height, width = answer["image_size"]
    drawn = np.zeros((len(answer["masks"]), height, width), bool)
    for pixels, one in zip(drawn, answer["masks"], strict=True):
        if format == "rle":
            pixels[:] = rle.decode_one(one["rle"]["counts"].encode(), (height, width))
        elif format == "png":
            part = np.array(Image.open(io.BytesIO(base64.b64decode(one["png"]["data"]))))
            x, y = one["png"]["x"], one["png"]["y"]
            pixels[y : y + part.shape[0], x : x + part.shape[1]] = part
        else:
            # Corners of pixels: drawn so large that lines do not matter.
            large = np.zeros((height * 8, width * 8), np.uint8)
            for part in one["polygons"]:
                rings = [np.round(np.array(ring) * 8 - 0.5).astype(np.int32) for ring in part]
                cv2.fillPoly(large, rings, 1)
            pixels[:] = large[4::8, 4::8]
    return drawn


def picture(seed=0, size=(40, 60)):
    """Bytes of a PNG."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def error_of(answer):
    """Status and code of an error, which has a message too."""
    error = answer.json()["error"]
    assert error["message"]
    assert "Traceback" not in error["message"]
    return answer.status_code, error["code"]


FIRST = Prompt.box(5, 6, 25, 20)


def begin(client, clip, **options):
    answer = client.post("/v1/videos", content=clip.read_bytes(), **options)
    assert answer.status_code == 201, answer.text
    return answer.json()


def prompt(client, name, frame=0, object_id=1, value=FIRST, **options):
    body = {"frame": frame, "object_id": object_id, "prompt": value.to_dict(), **options}
    return client.post(f"/v1/videos/{name}/prompts", json=body)


def track(client, name, **body):
    """The events of tracking: (kind, data)."""
    with client.stream("POST", f"/v1/videos/{name}/track", json=body) as answer:
        if answer.status_code != 200:
            answer.read()
            return answer
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(answer.iter_text()).split("\n\n")[:-1]
    events = []
    for block in blocks:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((lines["event"], json.loads(lines["data"])))
        if "id" in lines:
            assert int(lines["id"]) == events[-1][1]["frame"]
    return events
