"""Masks to supervision and to Label Studio, and back: the same masks.

    pip install "samkit[interop]"
    python examples/exchange.py

Without supervision only the second half is done.
"""

from pathlib import Path

import numpy as np

import samkit
from samkit.masks.datasets import read_labelstudio

PHOTO = Path(__file__).parent / "coffee.jpg"


def to_supervision_and_back(masks: samkit.Masks) -> samkit.Masks:
    detections = masks.to_supervision()  # supervision.Detections, for its annotators and trackers
    detections = detections[detections.confidence > 0.1]
    return samkit.Masks(detections.mask, detections.confidence, object_ids=detections.tracker_id)


def to_label_studio_and_back(masks: samkit.Masks, names: list[str]) -> samkit.Masks:
    # What Label Studio exports after a review has the same form, with annotations.
    masks.save("outputs/tasks.json", format="labelstudio", image=PHOTO, category=names)
    (task,) = read_labelstudio("outputs/tasks.json")
    print(f"Label Studio: {task.image}: {', '.join(task.category)}")
    return task.masks


def report(what: str, masks: samkit.Masks, again: samkit.Masks) -> None:
    same = np.array_equal(masks.masks, again.masks) and np.array_equal(masks.scores, again.scores)
    print(f"{what}: {'the same' if same else 'OTHER'} masks and scores came back")


def main() -> None:
    predictor = samkit.load("pico")
    prompts = [samkit.Prompt.box(172, 18, 424, 285), samkit.Prompt.point(60, 330)]
    masks = predictor.predict(PHOTO, prompts)
    try:
        report("supervision", masks, to_supervision_and_back(masks))
    except samkit.errors.MissingDependencyError as error:
        print(error)
    report("Label Studio", masks, to_label_studio_and_back(masks, ["cup", "table"]))


if __name__ == "__main__":
    main()
