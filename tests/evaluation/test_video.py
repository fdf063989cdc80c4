import numpy as np
import pytest

from samkit.errors import InputError
from samkit.evaluation import AnnotatedImage, evaluate_video, score_sequence


def moving_square(frames, step=2):
    masks = np.zeros((frames, 40, 60), bool)
    for t in range(frames):
        masks[t, 10:25, 5 + step * t : 20 + step * t] = True
    return masks


def as_dataset(masks):
    blank = np.zeros(masks.shape[1:], bool)
    image = np.zeros((*masks.shape[1:], 3), np.uint8)
    return [
        AnnotatedImage(name=str(t), image=image, masks=mask[None], ignore=blank)
        for t, mask in enumerate(masks)
    ]


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
        {"square": as_dataset(truth)},
        prompt=kind,
        on_frame=lambda done, count: progress.append((done, count)),
    )
    assert progress == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert report.mean().j_and_f == 1
    values = report.to_dict()
    assert [row["name"] for row in values["sequences"]] == ["square"]
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
        evaluate_video(lambda frames, prompt: truth, {"x": as_dataset(truth)})
