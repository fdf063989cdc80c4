"""Thirty photographs, one file of prompts -> a COCO data set and YOLO labels.

    python examples/annotate.py [FOLDER]

The photographs are crops of coffee.jpg, made here; put your own into the folder and write their
prompts into prompts.json. `samkit predict --prompts FOLDER/prompts.json -o all.json` does the first
half in one line.
"""

import json
import sys
from pathlib import Path

import samkit
from samkit.masks.datasets import open_dataset_writer

CATEGORIES = ["cup"]


def make_photographs(folder: Path) -> None:
    """Thirty crops, and where the cup is in each."""
    photo = samkit.read_image(Path(__file__).parent / "coffee.jpg")
    prompts = []
    for i in range(30):
        left, top = 2 * (i % 6), 3 * (i // 6)
        name = f"{i:02}.png"
        samkit.media.write_image(folder / name, photo[top:, left:])
        box = [172 - left, 18 - top, 424 - left, 285 - top]
        prompts.append({"image": name, "object_id": 1, "box": box, "category": "cup"})
    (folder / "prompts.json").write_text(json.dumps(prompts, indent=1))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/photos")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prompts.json").is_file():
        make_photographs(folder)

    predictor = samkit.load("pico")
    coco = open_dataset_writer(folder / "annotations.json", CATEGORIES)
    for entry in json.loads((folder / "prompts.json").read_text()):
        masks = predictor.predict(folder / entry["image"], samkit.Prompt.box(*entry["box"]))
        masks = masks.cleaned(fill_holes=True, largest=True)
        coco.write(entry["image"], masks, [entry["category"]])
        labels = folder / "labels" / Path(entry["image"]).with_suffix(".txt")
        masks.save(labels, category=entry["category"], categories=CATEGORIES)
    coco.close()
    count = len(list((folder / "labels").iterdir()))
    print(f"{folder}/annotations.json and {count} files of labels")


if __name__ == "__main__":
    main()
