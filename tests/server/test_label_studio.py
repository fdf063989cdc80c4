"""Label Studio's clicks: as its front end sends them, and as it would have the answers."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
from server.calls import error_of, picture
from server.studio import CONFIG, HEIGHT, SIZE, WIDTH, box, click, data_uri, predict, regions_of

from samkit import Prompt
from samkit.errors import InputError
from samkit.server import LabelStudio


def painted(run_lengths):
    """Pixels of a brush by a decoder of its own, which reads bits as text."""
    bits = "".join(f"{byte:08b}" for byte in run_lengths)
    at = 0

    def take(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    count, value_bits = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < count:
        is_run, length = take(1), take(widths[take(2)]) + 1
        values += (
            [take(value_bits)] * length if is_run else [take(value_bits) for _ in range(length)]
        )
    rgba = np.array(values).reshape(HEIGHT, WIDTH, 4)
    return rgba[..., 3] > 0


@pytest.fixture
def studio(serving):
    return serving(label_studio=LabelStudio())


@pytest.fixture
def expected(predictors):
    """The library's mask of a prompt on the picture."""
    predictor = predictors["tracker"]
    embedding = predictor.embed(picture())
    return lambda prompt: predictor.predict(embedding, [prompt])


def test_it_is_off_by_default(client):
    for answer in (client.get("/health"), client.post("/setup", json={}), predict(client)):
        assert error_of(answer) == (404, "not_found")


def test_health_and_setup(studio):
    assert studio.get("/health").json() == {"status": "UP", "model_class": "samkit"}
    said = {
        "project": "3.1700000000",
        "schema": CONFIG,
        "hostname": "http://evil.example",
        "access_token": "x",
        "extra_params": None,
    }
    version = studio.post("/setup", json=said).json()["model_version"]
    assert regions_of(predict(studio, click(20, 20)))
    assert predict(studio, click(20, 20)).json()["results"][0]["model_version"] == version


@pytest.mark.parametrize(
    ("regions", "prompt"),
    [
        ([click(20, 20)], Prompt.point(20, 20)),
        ([box(5, 6, 40, 30)], Prompt.box(5, 6, 40, 30)),
        (
            [click(20, 20), box(5, 6, 40, 30), click(30, 10, positive=False), click(12, 9)],
            Prompt.points([[20, 20], [30, 10], [12, 9]], labels=[1, 0, 1])
            + Prompt.box(5, 6, 40, 30),
        ),
        ([box(5, 6, 40, 30), click(9, 9, positive=False)],
         Prompt.box(5, 6, 40, 30) + Prompt.point(9, 9, 0)),
        # The last box counts; a quarter turn about the first corner.
        ([box(0, 0, 9, 9), box(5, 6, 40, 30)], Prompt.box(5, 6, 40, 30)),
        ([box(40, 6, 60, 16, rotation=90)], Prompt.box(30, 6, 40, 26)),
    ],
)  # fmt: skip
def test_clicks_and_boxes_of_one_object_are_one_prompt(studio, expected, regions, prompt):
    (region,) = regions_of(predict(studio, *regions))
    mask = expected(prompt)
    assert region["type"] == "brushlabels"
    assert (region["from_name"], region["to_name"]) == ("tag", "image")
    assert SIZE.items() <= region.items()
    assert region["value"]["format"] == "rle"
    assert region["value"]["brushlabels"] == ["cup"]
    assert region["score"] == pytest.approx(float(mask.scores[0]))
    assert (painted(region["value"]["rle"]) == mask.masks[0]).all()


def test_label_studios_own_converter_reads_it(studio, expected):
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="label-studio-sdk needs tens of packages"
    )
    (region,) = regions_of(predict(studio, click(20, 20)))
    rgba = brush.decode_rle(region["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)
    assert ((rgba[..., 3] > 0) == expected(Prompt.point(20, 20)).masks[0]).all()


def test_each_label_is_an_object(studio, expected):
    asked = [click(20, 20), click(40, 30, "table"), click(5, 5, "nothing", positive=False)]
    found = regions_of(predict(studio, *asked, click(22, 18)))
    masks = {one["value"]["brushlabels"][0]: painted(one["value"]["rle"]) for one in found}
    assert list(masks) == ["cup", "table"]
    assert (masks["cup"] == expected(Prompt.points([[20, 20], [22, 18]])).masks[0]).all()
    assert (masks["table"] == expected(Prompt.point(40, 30)).masks[0]).all()
    assert len({one["id"] for one in found}) == 2


def test_polygons_where_there_is_no_brush(studio, expected):
    config = CONFIG.replace("BrushLabels", "PolygonLabels")
    found = regions_of(predict(studio, box(5, 6, 40, 30), config=config))
    drawn = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
    for one in found:
        assert one["type"] == "polygonlabels"
        assert one["value"]["polygonlabels"] == ["cup"]
        ring = np.array(one["value"]["points"]) / 100 * (WIDTH * 8, HEIGHT * 8) - 0.5
        cv2.fillPoly(drawn, [np.round(ring).astype(np.int32)], 1)
    (mask,) = expected(Prompt.box(5, 6, 40, 30)).masks.astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED)
    assert filled.any()
    assert (drawn[4::8, 4::8] == filled).mean() > 0.99


def test_tags_of_the_image_that_was_clicked(studio):
    config = """<View><Image name="a" value="$x"/><BrushLabels name="ta" toName="a"/>
                <Image name="b" value="$y"/><BrushLabels name="tb" toName="b"/></View>"""
    tasks = [{"id": 1, "data": {"x": "data:,", "y": data_uri()}}]
    asked = [click(9, 9, to_name="a"), click(20, 20, to_name="b")]
    (region,) = regions_of(predict(studio, *asked, config=config, tasks=tasks))
    assert (region["from_name"], region["to_name"]) == ("tb", "b")


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"context": None}},
        {"params": {"context": {"result": []}}},
        {"params": None},
        {"params": {}},
        {"tasks": [], "params": {}},
    ],
)
def test_where_nothing_was_clicked_nothing_is_suggested(studio, changes):
    answer = predict(studio, **changes)
    assert (answer.status_code, answer.json()) == (200, {"results": []})


def test_a_click_off_the_object_alone_suggests_nothing(studio):
    (found,) = predict(studio, click(9, 9, positive=False)).json()["results"]  # it expects one
    assert (found["result"], found["score"]) == ([], 0)


def test_tasks_bring_their_annotations(studio):
    """Of which a byte of run lengths takes up to five characters."""
    annotations = [{"result": [{"value": {"rle": [255] * 1_200_000}}]}]
    tasks = [{"id": 1, "data": {"image": data_uri()}, "annotations": annotations}]
    assert regions_of(predict(studio, click(20, 20), tasks=tasks))
    annotations *= 4
    assert error_of(predict(studio, click(20, 20), tasks=tasks)) == (413, "too_large")


@pytest.mark.parametrize(
    ("regions", "changes"),
    [
        ([3], {}),
        ([click(1, 1, value=None)], {}),
        ([click(1, 1, value={"x": "1", "y": 1})], {}),
        ([click(1, 1, value={"x": [1], "y": 1})], {}),
        ([click(1, 1, value={"x": 1e999, "y": 1})], {}),
        ([click(1, 1, value={"y": 1})], {}),
        ([click(1, 1, original_width=None)], {}),
        ([click(1, 1, original_width=WIDTH + 1)], {}),
        ([click(1, 1), click(1, 1, original_width=9)], {}),
        ([click(1, 1, original_width=10**9, original_height=10**9)], {}),
        ([click(1, 1, image_rotation=90)], {}),
        ([box(5, 5, 5, 9)], {}),
        ([box(9, 9, 20, 20, width=None)], {}),
        ([box(9, 9, 20, 20, rotation="much")], {}),
        ([click(1, 1)] * 501, {}),
        ([click(1, 1)], {"tasks": []}),
        ([click(1, 1)], {"tasks": [{"data": {"image": data_uri()}}] * 2}),
        ([click(1, 1)], {"tasks": [{}]}),
        ([click(1, 1)], {"tasks": [{"data": {"image": 7}}]}),
        ([click(1, 1)], {"tasks": [{"data": {"picture": data_uri()}}]}),
        ([click(1, 1)], {"tasks": "all"}),
        ([click(1, 1)], {"label_config": "<View>"}),
        ([click(1, 1)], {"label_config": "<View/>"}),
        ([click(1, 1)], {"label_config": "\ud800"}),
        ([click(1, 1)], {"label_config": None}),
        ([click(1, 1)], {"label_config": CONFIG.replace("$image", "image")}),
        ([click(1, 1)], {"label_config": CONFIG.replace('toName="image"', 'toName="video"')}),
        ([click(1, 1)], {"label_config": f'<!DOCTYPE a [<!ENTITY b "c">]>{CONFIG}'}),
        ([click(1, 1)], {"label_config": "<a>" * 100_000}),
        ([click(1, 1, to_name="other")], {}),
        ([click(1, 1, to_name=[])], {}),
        ([], {"params": {"context": {"result": "all"}}}),
    ],
)  # fmt: skip
def test_junk(studio, regions, changes):
    body = {
        "tasks": [{"data": {"image": data_uri()}}],
        "label_config": CONFIG,
        "params": {"context": {"result": regions}},
    }
    text = json.dumps(body | changes)
    answer = studio.post(
        "/predict", content=text.encode(), headers={"Content-Type": "application/json"}
    )
    assert error_of(answer)[0] in (400, 422)


@pytest.mark.parametrize(
    "image",
    ["data:image/png;base64,???", "data:image/png;base64,AAAA", "data:text/plain,x", "data:", ""],
)
def test_data_that_is_no_image(studio, image):
    assert error_of(predict(studio, click(1, 1), image=image))[0] == 422


@pytest.fixture
def rooted(serving, tmp_path):
    root = tmp_path / "root"
    (root / "photos and more").mkdir(parents=True)
    (root / "photos and more" / "ä+b.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    return serving(label_studio=LabelStudio(), root=root)


@pytest.mark.parametrize("path", ["photos and more/ä+b.png", "photos and more/../link.png"])
def test_local_files_lie_below_the_root(rooted, expected, path):
    place = "/data/local-files/?d=" + re.sub(r"[ +]", lambda sign: f"%{ord(sign[0]):02x}", path)
    answer = predict(rooted, click(20, 20), image=place)
    if path.endswith("link.png"):
        assert error_of(answer) == (422, "invalid")
    else:
        mask = painted(regions_of(answer)[0]["value"]["rle"])
        assert (mask == expected(Prompt.point(20, 20)).masks[0]).all()


@pytest.mark.parametrize(
    "query",
    [
        "d=../secret.png",
        "d=%2e%2e/secret.png",
        "d=..%2fsecret.png",
        "d=/etc/passwd",
        "d=photos",
        "d=none.png",
        "d=%00",
        "d=",
        "",
        "d=a&d=b",
        "d=" + "a" * 5000,
        "d=link.png",
    ],
)
def test_no_files_out_of_the_root(rooted, query):
    answer = predict(rooted, click(1, 1), image=f"/data/local-files/?{query}")
    assert error_of(answer) == (422, "invalid")
    assert "/root" not in answer.text


def test_without_a_root_no_local_files(studio):
    answer = predict(studio, click(1, 1), image="/data/local-files/?d=a.png")
    assert error_of(answer) == (403, "forbidden")


def basic(password, user="anybody"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_as_a_password(serving):
    guarded = serving(label_studio=LabelStudio(), tokens=("a-long-token", "tök:en-two"))
    for good in (basic("a-long-token"), basic("tök:en-two", ""), basic("a-long-token", "ü")):
        assert guarded.get("/health", headers=good).status_code == 200
        assert guarded.get("/v1/models", headers=good).status_code == 401
    bearer = {"Authorization": "Bearer a-long-token"}
    assert guarded.get("/health", headers=bearer).status_code == 200
    wrong = [
        {},
        basic("a-long-toke"),
        basic(""),
        {"Authorization": "Basic a-long-token"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic " + base64.b64encode(b"a-long-token").decode()},
        {"Authorization": "Bearer " + base64.b64encode(b":a-long-token").decode()},
    ]
    for headers in wrong:
        assert error_of(guarded.get("/health", headers=headers)) == (401, "unauthorized")


def test_passwords_are_for_label_studio_alone(serving):
    guarded = serving(tokens=("a-long-token",))
    assert error_of(guarded.get("/health", headers=basic("a-long-token"))) == (401, "unauthorized")


@pytest.mark.parametrize(
    "wrong",
    [
        {"origins": "https://a.example"},
        {"origins": ("a.example",)},
        {"origins": ("ftp://a.example",)},
        {"origins": ("https://a.example/data",)},
        {"origins": ("https://a.example?x",)},
        {"origins": ("https://user@a.example",)},
        {"origins": ("https://a.example:99999",)},
        {"origins": ("https://ä.example",)},
        {"origins": ("https://",)},
        {"origins": (7,)},
        {"token": "without-an-origin"},
        {"origins": ("https://a.example",), "token": "two words"},
        {"origins": ("https://a.example",), "token": "line\r\nbreak"},
        {"origins": ("https://a.example",), "token": None},
    ],
)
def test_what_the_operator_cannot_mean(wrong):
    with pytest.raises(InputError, match=next(iter(reversed(wrong)))):
        LabelStudio(**wrong)


def test_a_token_is_not_shown():
    assert "secret" not in repr(LabelStudio(origins=("https://a.example",), token="secret-token"))
