"""Videos over HTTP: sessions, and tracked frames as server-sent events."""

from types import SimpleNamespace

import numpy as np
import pytest
from server.calls import FIRST, begin, error_of, picture, pixels_of, prompt, track

from samkit import Prompt, VideoPredictor
from samkit.server import ServerSettings
from samkit.server.errors import ApiError
from samkit.server.videos import Sessions, VideoSession
from samkit.server.wire import TrackRequest


@pytest.mark.parametrize(
    "options", [{}, {"direction": "both", "start": 3}, {"stop": 4, "smooth": 1}]
)
def test_frames_are_those_of_the_library(client, predictors, clip, options):
    made = begin(client, clip)
    assert made["frames"] == 12
    assert made["image_size"] == [32, 48]
    assert made["rate"] > 0
    shown = prompt(client, made["id"]).json()
    *frames, end = track(client, made["id"], format="png", **options)
    assert end == ("end", {})
    with VideoPredictor(predictors["tracker"], clip) as tracker:
        assert (pixels_of(shown, "rle") == tracker.prompt(0, 1, FIRST).masks).all()
        arguments = {"direction": "forward", **options}
        expected = list(tracker.track(arguments.pop("direction"), **arguments))
    assert [data["frame"] for _, data in frames] == [frame for frame, _ in expected]
    for (kind, data), (_, masks) in zip(frames, expected, strict=True):
        assert kind == "frame"
        assert (pixels_of(data, "png") == masks.masks).all()
        assert data["masks"][0]["presence"] == pytest.approx(float(masks.presence[0]))


def test_objects_are_corrected_undone_and_removed(client, clip):
    name = begin(client, clip)["id"]
    prompt(client, name, object_id=1)
    both = prompt(client, name, frame=2, object_id=5, value=Prompt.point(30, 20)).json()
    assert 5 in [one["object_id"] for one in both["masks"]]

    def look():
        return client.get(f"/v1/videos/{name}").json()

    assert look()["object_ids"] == [1, 5]
    answer = client.post(f"/v1/videos/{name}/undo")
    assert answer.status_code == 200, answer.text
    undone = answer.json()
    assert look()["object_ids"] == [1]
    assert 5 not in [one["object_id"] for one in undone["masks"]]
    assert client.delete(f"/v1/videos/{name}/objects/1").status_code == 204
    assert look()["object_ids"] == []
    assert error_of(client.delete(f"/v1/videos/{name}/objects/1")) == (422, "invalid")
    assert error_of(client.post(f"/v1/videos/{name}/undo")) == (422, "invalid")


def test_frames_as_pictures(client, clip):
    name = begin(client, clip)["id"]
    answer = client.get(f"/v1/videos/{name}/frames/11")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content[:2] == b"\xff\xd8"
    for frame in (12, -1):
        assert error_of(client.get(f"/v1/videos/{name}/frames/{frame}")) == (422, "invalid")
    assert error_of(client.get(f"/v1/videos/{name}/frames/x")) == (422, "invalid")


def test_sleeping_sessions_go_on(serving, clip):
    client = serving(open_sessions=1)
    names = [begin(client, clip)["id"] for _ in range(3)]
    boxes = [Prompt.box(5 + i, 6, 25, 20 + i) for i in range(3)]
    for name, box in zip(names, boxes, strict=True):
        prompt(client, name, value=box)
    assert 'samkit_kept{kind="sessions",place="disk"} 2.0' in client.get("/metrics").text
    found = [track(client, name) for name in names]
    assert all(len(events) == 13 for events in found)
    alone = serving()
    name = begin(alone, clip)["id"]
    prompt(alone, name, value=boxes[0])
    assert track(alone, name) == found[0]


def test_the_oldest_session_ends_where_there_are_too_many(serving, clip):
    client = serving(sessions=2)
    names = [begin(client, clip)["id"] for _ in range(3)]
    status = [client.get(f"/v1/videos/{name}").status_code for name in names]
    assert status == [404, 200, 200]


def test_ends(client, clip):
    name = begin(client, clip)["id"]
    assert client.delete(f"/v1/videos/{name}").status_code == 204
    assert error_of(client.get(f"/v1/videos/{name}")) == (404, "expired")
    assert error_of(prompt(client, name)) == (404, "expired")
    assert error_of(track(client, name)) == (404, "expired")


def test_an_error_while_tracking_is_an_event(client, clip):
    cut = clip.with_name("cut.mkv")
    content = clip.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    name = begin(client, cut)["id"]
    prompt(client, name)
    *frames, last = track(client, name)
    assert len(frames) > 1
    kind, data = last
    if kind == "error":
        assert data["error"]["code"] == "invalid"
        assert str(cut) not in data["error"]["message"]
    else:
        assert kind == "end"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"direction": "up"}, "invalid"),
        ({"start": 99}, "invalid"),
        ({"smooth": 17}, "invalid"),
        ({"stop": "x"}, "invalid"),
        ({}, "invalid"),  # nothing was prompted
    ],
)
def test_bad_tracking(client, clip, body, code):
    name = begin(client, clip)["id"]
    if body:
        prompt(client, name)
    assert error_of(track(client, name, **body)) == (422, code)


@pytest.mark.parametrize(
    "options",
    [
        {"frame": 12},
        {"frame": -1},
        {"object_id": 2**70},
        {"format": "no"},
        {"frame": "first"},
    ],
)
def test_bad_prompts(client, clip, options):
    assert error_of(prompt(client, begin(client, clip)["id"], **options)) == (422, "invalid")


def test_bad_videos(client, clip):
    for content in (b"", b"junk" * 100, picture()[:50]):
        status, code = error_of(client.post("/v1/videos", content=content))
        assert (status, code) in ((422, "invalid"), (422, "image"))
    answer = client.post("/v1/videos?model=plain", content=clip.read_bytes())
    assert error_of(answer) == (422, "invalid")
    assert "memory" in answer.text


def test_forms_and_files(serving, clip, tmp_path):
    client = serving(root=tmp_path)
    form = client.post("/v1/videos", files={"file": clip.read_bytes()})
    named = client.post("/v1/videos", json={"path": clip.name})
    assert form.json()["frames"] == named.json()["frames"] == 12
    client.delete(f"/v1/videos/{named.json()['id']}")
    assert clip.exists()  # what was named is not the server's


def test_a_picture_is_a_video_of_one_frame(client):
    made = client.post("/v1/videos", content=picture())
    assert made.status_code == 201, made.text
    name = made.json()["id"]
    assert made.json()["frames"] == 1
    prompt(client, name)
    assert [kind for kind, _ in track(client, name)] == ["frame", "end"]
    assert np.prod(made.json()["image_size"]) == 2400


def test_only_so_many_are_tracked_at_once(predictors, clip, tmp_path):
    sessions = Sessions(SimpleNamespace(settings=ServerSettings(open_sessions=1)))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        session = VideoSession(predictors["tracker"], "tracker", tmp_path / name, clip)
        sessions.put("", name, session)
        session.tracker.prompt(0, 1, FIRST)
    session, results = sessions.track("", "a", TrackRequest())
    with pytest.raises(ApiError) as refused:
        sessions.track("", "b", TrackRequest())
    assert (refused.value.status_code, refused.value.code) == (503, "busy")
    assert session.is_awake
    del results  # as of a client that left before the first frame
    _, results = sessions.track("", "b", TrackRequest())
    assert not session.is_awake
    assert len(list(results)) == 12
    sessions.clear()


def test_prompts_of_a_session_are_counted(serving, clip):
    client = serving(prompts=2)
    name = begin(client, clip)["id"]
    status = [prompt(client, name, object_id=i).status_code for i in range(3)]
    assert status == [200, 200, 422]


def test_errors_do_not_say_where_files_are(serving, clip, tmp_path):
    client = serving(root=tmp_path)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(clip.read_bytes()[:300] + b"x" * 300)
    for url in ("/v1/videos", "/v1/embeddings", "/v1/everything"):
        for options in ({"json": {"path": "broken.mkv"}}, {"content": broken.read_bytes()}):
            answer = client.post(url, **options)
            assert answer.status_code == 422, url
            assert str(tmp_path) not in answer.text
