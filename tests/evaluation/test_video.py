import numpy as np
import pytest

from samkit.errors import InputError
from samkit.evaluation import AnnotatedFrame, evaluate_video, score_sequence


def moving_square(frames, step=2):
    masks = np.zeros((frames, 40, 60), bool)
    for t in range(frames):
        masks[t, 10:25, 5 + step * t : 20 + step * t] = True
    return masks


def as_video(masks):
    image = np.zeros((*masks.shape[1:], 3), np.uint8)
    return [AnnotatedFrame(image=image, labels=mask.astype(np.int32)) for mask in masks]


def test_scores_of_a_sequence():
    truth = moving_square(5)
    still = np.repeat(truth[:1], 5, 0)
    perfect = score_sequence(truth, truth, name="a")
    assert (perfect.j, perfect.f, perfect.j_and_f, perfect.name) == (1, 1, 1, "a")
    score = score_sequence(still, truth)
    # Frames 1 to 3 count: the square has moved by 2, 4 and 6 of its 15 pixels.
    assert score.j == pytest.approx(np.mean([(15 - d) / (15 + d) for d in (2, 4, 6)]))
    assert score.j_and_f == (score.j + score.f) / 2


def test_first_and_last_frame_do_not_count():
    truth = moving_square(4)
    wrong = truth.copy()
    wrong[[0, 3]] = False
    assert score_sequence(wrong, truth).j == 1
    assert score_sequence(wrong[:2], truth[:2]).j == 0.5


def test_wrong_numbers_of_frames():
    truth = moving_square(3)
    with pytest.raises(InputError, match="expected 3 masks"):
        score_sequence(truth[:2], truth)
    with pytest.raises(InputError, match="at least 1"):
        score_sequence([], [])


@pytest.mark.parametrize("kind", ["mask", "box", "click"])
def test_trackers_get_frames_and_a_prompt(kind):
    truth = moving_square(5)
    seen = []

    def track(frames, prompt):
        seen.append(prompt)
        assert len(frames) == 5
        return truth

    progress = []
    report = evaluate_video(
        track,
        {"square": as_video(truth)},
        prompt=kind,
        on_frame=lambda done, count: progress.append((done, count)),
    )
    assert progress == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert report.mean().j_and_f == 1
    values = report.to_dict()
    assert [row["name"] for row in values["objects"]] == ["square"]
    assert values["mean"]["j_and_f"] == 1
    assert values["first_mask_repeated"]["mean"]["j_and_f"] < 1
    prompt = seen[0]
    if kind == "mask":
        assert np.array_equal(prompt.mask_input, truth[0])
    elif kind == "box":
        assert prompt.box_xyxy.tolist() == [5, 10, 20, 25]
    else:
        assert prompt.point_coords.tolist() == [[12.5, 17.5]]


def test_an_empty_first_frame():
    truth = moving_square(3)
    truth[0] = False
    with pytest.raises(InputError, match="first frame"):
        evaluate_video(lambda frames, prompt: truth, {"x": as_video(truth)})


def test_every_object_of_the_first_frame_is_followed():
    """The first leaves; the second is there throughout; a third comes later and is not followed."""
    truth = np.zeros((6, 30, 40), np.int32)
    truth[:2, 2:12, 2:12] = 1
    truth[:, 15:25, 20:30] = 4
    truth[3:, 2:12, 30:38] = 7
    image = np.zeros((30, 40, 3), np.uint8)
    video = [AnnotatedFrame(image=image, labels=labels) for labels in truth]

    def perfect(frames, prompt):
        object_id = truth[0][prompt.mask_input > 0].max()
        return truth == object_id

    progress = []
    report = evaluate_video(
        perfect, {"two": video}, on_frame=lambda done, count: progress.append((done, count))
    )
    assert [(score.name, score.j, score.f) for score in report.objects] == [
        ("two/1", 1, 1),
        ("two/4", 1, 1),
    ]
    # Repeated, the first one's mask is right in one of the frames 1 to 4.
    assert [score.j for score in report.still] == [0.25, 1]
    assert (progress[0], progress[-1]) == ((1, 12), (12, 12))


def test_frames_without_a_mask_are_tracked_and_not_scored():
    truth = moving_square(7)
    video = as_video(truth)
    for t in (1, 3, 6):
        video[t] = AnnotatedFrame(image=video[t].image)
    wrong = truth.copy()
    wrong[[1, 3, 6]] = False
    assert evaluate_video(lambda frames, prompt: wrong, {"x": video}).mean().j == 1
    wrong[4] = False  # of the frames 0, 2, 4 and 5 the inner ones count
    assert evaluate_video(lambda frames, prompt: wrong, {"x": video}).mean().j == 0.5
    annotated = truth[[0, 2, 4, 5]]
    with pytest.raises(InputError, match="expected 7 masks, got 4"):
        evaluate_video(lambda frames, prompt: annotated, {"x": video})


def test_void_does_not_count():
    truth = moving_square(5)
    void = np.zeros(truth.shape[1:], bool)
    void[:, 45:] = True
    video = [
        AnnotatedFrame(image=frame.image, labels=frame.labels, ignore=void)
        for frame in as_video(truth)
    ]
    report = evaluate_video(lambda frames, prompt: truth | void, {"x": video})
    assert report.mean().j_and_f == 1
    assert score_sequence(truth | void, truth).j < 1
    with pytest.raises(InputError, match="ignore: expected one for each of 5 frames, got 1"):
        score_sequence(truth, truth, ignore=[void])


@pytest.mark.parametrize("video", [[], [AnnotatedFrame(image=np.zeros((4, 5, 3), np.uint8))]])
def test_nothing_to_follow(video):
    with pytest.raises(InputError, match="x: expected an object on the first frame"):
        evaluate_video(lambda frames, prompt: [], {"x": video})
