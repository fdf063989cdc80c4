"""Images over HTTP: the masks are those of the library, and nothing else gets through."""

import json

import pytest
from server.calls import PROMPTS, embed, error_of, masks, picture, pixels_of

from samkit import AutomaticMaskGenerator, Prompt


@pytest.mark.parametrize("format", ["rle", "png", "polygons"])
@pytest.mark.parametrize("model", [None, "plain"])
@pytest.mark.parametrize("candidates", [1, 3])
def test_masks_are_those_of_the_library(client, predictors, format, model, candidates):
    made = embed(client, **({} if model is None else {"model": model}))
    assert made["model"] == (model or "tracker")
    assert made["image_size"] == [40, 60]
    answer = masks(client, made["id"], candidates=candidates, format=format).json()
    expected = predictors[made["model"]].predict(picture(), PROMPTS, candidates=candidates)
    assert (pixels_of(answer, format) == expected.masks).all()
    for i, one in enumerate(answer["masks"]):
        assert one["prompt_index"] == expected.prompt_index[i]
        assert one["score"] == pytest.approx(float(expected.scores[i]))
        assert one["area"] == expected.masks[i].sum()
        assert one["box"] == expected.boxes[i].tolist()


def test_logits_refine(client, predictors):
    name = embed(client)["id"]
    first = masks(client, name, PROMPTS[:1], logits=True).json()["masks"][0]
    prompt = PROMPTS[1].to_dict() | {"mask": first["logits"]}
    answer = client.post(f"/v1/embeddings/{name}/masks", json={"prompts": [prompt]}).json()
    predictor = predictors["tracker"]
    embedding = predictor.embed(picture())
    prior = predictor.predict(embedding, PROMPTS[:1])
    expected = predictor.predict(embedding, PROMPTS[1:], prior=prior)
    assert (pixels_of(answer, "rle") == expected.masks).all()


def test_the_same_image_has_the_same_id(client):
    first = embed(client)
    assert embed(client) == first
    form = client.post("/v1/embeddings", files={"file": ("a.png", picture())})
    assert form.json() == first
    assert embed(client, model="plain")["id"] != first["id"]
    assert embed(client, picture(1))["id"] != first["id"]
    assert client.get(f"/v1/embeddings/{first['id']}").json() == first


def test_what_is_forgotten_has_expired(client):
    name = embed(client)["id"]
    assert client.delete(f"/v1/embeddings/{name}").status_code == 204
    assert client.delete(f"/v1/embeddings/{name}").status_code == 204
    assert error_of(client.get(f"/v1/embeddings/{name}")) == (404, "expired")
    assert error_of(masks(client, name)) == (404, "expired")


def test_embeddings_on_disk_give_the_same_masks(serving):
    client = serving(memory_bytes=1)  # room for none but the one in use
    names = [embed(client, picture(seed))["id"] for seed in range(3)]
    before = [masks(client, name).json() for name in names]
    kept = client.get("/metrics").text
    assert 'samkit_kept{kind="embeddings",place="memory"} 1.0' in kept
    assert 'samkit_kept{kind="embeddings",place="disk"} 2.0' in kept
    assert [masks(client, name).json() for name in names] == before


def test_the_least_recently_used_are_forgotten(serving, predictors):
    size = sum(t.nbytes for t in predictors["tracker"].embed(picture()).features.tensors)
    client = serving(disk_bytes=2 * size)
    first, second = (embed(client, picture(seed))["id"] for seed in range(2))
    assert masks(client, first).status_code == 200  # used now
    third = embed(client, picture(2))["id"]
    found = [client.get(f"/v1/embeddings/{name}").status_code for name in (first, second, third)]
    assert found == [200, 404, 200]


def test_nothing_lasts_longer_than_allowed(serving, monkeypatch):
    from samkit.server import store

    client, now = serving(seconds=100.0), [1000.0]
    monkeypatch.setattr(store.time, "monotonic", lambda: now[0])
    name = embed(client)["id"]
    for later, status in ((1090.0, 200), (1180.0, 200), (1290.0, 404)):
        now[0] = later
        assert client.get(f"/v1/embeddings/{name}").status_code == status


def test_everything(client, predictors):
    options = {"points_per_side": 8, "preset": "recall", "format": "png", "model": "plain"}
    answer = client.post("/v1/everything", content=picture(), params=options).json()
    generator = AutomaticMaskGenerator(predictors["plain"], preset="recall", points_per_side=8)
    expected = generator(picture())
    assert len(expected)
    assert (pixels_of(answer, "png") == expected.masks).all()
    assert [one["stability"] for one in answer["masks"]] == pytest.approx(
        expected.stability.tolist()
    )


def test_files_below_the_root(serving, tmp_path):
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a.png").write_bytes(picture())
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(1))
    (root / "link.png").symlink_to(secret)
    client = serving(root=root)
    assert (
        client.post("/v1/embeddings", json={"path": "inner/a.png"}).json()["id"]
        == (embed(client)["id"])
    )
    for path in (
        "../secret.png",
        str(secret),
        "link.png",
        "inner",
        "",
        "no.png",
        "a\0b",
        "a" * 9999,
    ):
        answer = client.post("/v1/embeddings", json={"path": path})
        assert error_of(answer) == (422, "invalid"), path
        assert "secret" not in answer.text


def test_no_files_without_a_root(client):
    assert error_of(client.post("/v1/embeddings", json={"path": "a.png"})) == (403, "forbidden")


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"", "image/png", (422, "invalid")),
        (b"junk", "image/png", (422, "image")),
        (picture()[:60], "image/png", (422, "image")),
        (b"{}", "application/json", (422, "invalid")),
        (b'{"path": 3}', "application/json", (422, "invalid")),
        (b"[" * 100_000, "application/json", (422, "invalid")),
        (b"--x", "multipart/form-data; boundary=x", (422, "invalid")),
        (b"--x", "multipart/form-data", (422, "invalid")),
    ],
)
def test_bad_images(client, content, kind, expected):
    answer = client.post("/v1/embeddings", content=content, headers={"Content-Type": kind})
    assert error_of(answer) == expected


def test_a_form_has_one_file(client):
    two = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    assert error_of(client.post("/v1/embeddings", files=two)) == (422, "invalid")
    other = {"other": ("a.png", picture())}
    assert error_of(client.post("/v1/embeddings", files=other)) == (422, "invalid")
    text = {"file": (None, "text"), "more": ("a.png", picture())}
    assert error_of(client.post("/v1/embeddings", files=text)) == (422, "invalid")


BOX = {"box": [1, 2, 30, 20]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (422, "invalid")),
        ({"prompts": BOX}, (422, "invalid")),
        ({"prompts": [{}]}, (422, "prompt")),
        ({"prompts": [{"box": [3, 3, 1, 1]}]}, (422, "prompt")),
        ({"prompts": [{"points": [[1, 2, 3]]}]}, (422, "prompt")),
        ({"prompts": [{"points": "a"}]}, (422, "prompt")),
        ({"prompts": [{"points": [[1e999, 2]]}]}, (422, "prompt")),
        ({"prompts": [BOX], "candidates": 2}, (422, "invalid")),
        ({"prompts": [BOX], "format": "gif"}, (422, "invalid")),
        ({"prompts": [BOX], "more": 1}, (422, "invalid")),
        ({"prompts": [BOX] * 11}, (422, "invalid")),
        ({"prompts": [{"mask": {"size": [10**6, 10**6], "counts": "0"}}]}, (413, "too_large")),
        ({"prompts": [{"mask": {"size": [-1, 5], "counts": "0"}}]}, (422, "prompt")),
        # A size below 0 does not make up for others.
        (
            {
                "prompts": [{"mask": {"size": [2**12, 2**13], "counts": [2**25]}}] * 3
                + [{"mask": {"size": [-(2**13), 2**13], "counts": "0"}}]
            },
            (413, "too_large"),
        ),
        ({"prompts": [{"points": [[1, 2]] * 501}]}, (422, "prompt")),
        ({"prompts": [{"points": [[1, 2]] * 20_001}]}, (413, "too_large")),
        ({"prompts": [{"mask": {"size": [4, 4], "logits": "AAAA"}}]}, (422, "prompt")),
    ],
)
def test_bad_prompts(serving, body, expected):
    client = serving(prompts=10)
    url = f"/v1/embeddings/{embed(client)['id']}/masks"
    text = json.dumps(body)
    answer = client.post(url, content=text, headers={"Content-Type": "application/json"})
    assert error_of(answer) == expected


@pytest.mark.parametrize("count", [0, 1, 10])
def test_how_many_prompts(serving, count):
    client = serving(prompts=10)
    answer = masks(client, embed(client)["id"], PROMPTS[:1] * count)
    assert len(answer.json()["masks"]) == count


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "NaN", '"text"', "\x00"])
def test_bodies_that_are_no_request(client, text):
    url = f"/v1/embeddings/{embed(client)['id']}/masks"
    answer = client.post(url, content=text, headers={"Content-Type": "application/json"})
    assert error_of(answer)[0] in (400, 422)


def test_unknown_models_and_options(client):
    for url in ("/v1/embeddings?model=no", "/v1/everything?model=no", "/v1/everything?preset=no",
                "/v1/everything?points_per_side=65", "/v1/everything?format=no"):  # fmt: skip
        assert error_of(client.post(url, content=picture())) == (422, "invalid"), url


def test_logits_of_so_many_prompts_are_not_answered(client):
    name = embed(client)["id"]
    assert len(masks(client, name, PROMPTS[:1] * 100, logits=True).json()["masks"]) == 100
    answer = masks(client, name, PROMPTS[:1] * 101, logits=True)
    assert error_of(answer) == (422, "invalid")


def test_a_long_prompt_makes_all_of_its_request_long(client):
    name = embed(client)["id"]
    long = Prompt.points([[1, 2]] * 500)
    assert masks(client, name, [long, *PROMPTS[:1] * 39]).status_code == 200
    answer = masks(client, name, [long, *PROMPTS[:1] * 40])
    assert error_of(answer) == (413, "too_large")
