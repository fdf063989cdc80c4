"""Show an object in one picture, find it in others, and write what was found as overlays.

python examples/find_again.py sam2.1-tiny --show monday.jpg --box 10,20,300,400 tuesday.jpg
"""

import argparse
from pathlib import Path

import samkit
from samkit import Prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name, checkpoint file or Hugging Face id of a SAM 2 network")
    parser.add_argument("--show", required=True, help="picture that shows the object")
    parser.add_argument("--box", required=True, help="x0,y0,x1,y1 around it, in pixels")
    parser.add_argument("pictures", nargs="+", help="where to look for it")
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs"), help="a folder")
    given = parser.parse_args()

    memory = samkit.MemoryPredictor(samkit.load(given.model))
    memory.remember(given.show, {1: Prompt.box(*map(float, given.box.split(",")))})
    for picture in given.pictures:
        masks = memory.predict(picture)
        path = given.output / f"{Path(picture).stem}.png"
        masks.save(path, image=picture)
        print(f"{picture}: presence {masks.presence[0]:.2f}, {path}")


if __name__ == "__main__":
    main()
