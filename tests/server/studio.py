"""What Label Studio sends, and how its answers are read."""

import base64

import numpy as np
import pytest
from server.calls import picture

CONFIG = """
<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="image"><Label value="cup"/><Label value="table"/></BrushLabels>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="cup"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="cup"/></RectangleLabels>
</View>
"""
WIDTH, HEIGHT = 60, 40  # of `picture()`
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}


def data_uri(content=None):
    return "data:image/png;base64," + base64.b64encode(content or picture()).decode()


def click(x, y, label="cup", positive=True, **changes):
    """A click at pixels (x, y)."""
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.5, "keypointlabels": [label]}
    region = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "value": value}
    return {**SIZE, **region, "is_positive": positive, **changes}


def box(x0, y0, x1, y1, label="cup", **changes):
    value = {"x": 100 * x0 / WIDTH, "y": 100 * y0 / HEIGHT, "rotation": 0}
    value |= {"width": 100 * (x1 - x0) / WIDTH, "height": 100 * (y1 - y0) / HEIGHT}
    value |= {"rectanglelabels": [label]} | changes
    region = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}
    return {**SIZE, **region}


def predict(client, *regions, image=None, config=CONFIG, **changes):
    task = {"id": 7, "data": {"image": data_uri() if image is None else image}, "annotations": []}
    params = {"login": None, "password": None, "context": {"result": list(regions)}}
    body = {"tasks": [task], "project": "3.1700000000", "label_config": config, "params": params}
    return client.post("/predict", json=body | changes)


def regions_of(answer):
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    assert found["model_version"].startswith("samkit ")
    assert found["score"] == pytest.approx(np.mean([one["score"] for one in found["result"]]))
    return found["result"]
