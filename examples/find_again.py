"""Show an object in one picture, find it in others, and write what was found as overlays.

    python examples/find_again.py [--show SHOWN --box X0,Y0,X1,Y1 PICTURE...] [--model sam2.1-tiny]

SHOWN and PICTURE are files. Without them the cup is shown in the first frame of coffee.mp4 and
found in three later ones, which are written into outputs/pictures.
"""

import argparse
from pathlib import Path

import samkit
from samkit.media.frames import open_frames


def make_pictures(folder: Path) -> list[Path]:
    """Four frames of coffee.mp4 as files."""
    frames = open_frames(Path(__file__).parent / "coffee.mp4")
    paths = []
    for number in (0, 12, 24, 35):
        paths.append(folder / f"frame_{number}.png")
        samkit.media.write_image(paths[-1], frames.read(number))
    frames.close()
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", help="where to look for it")
    parser.add_argument("--show", help="picture that shows the object")
    parser.add_argument("--box", default="114,0,303,188", help="x0,y0,x1,y1 around it, in pixels")
    parser.add_argument("--model", default="pico", help="name or file of a SAM 2 network")
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs/found"), help="a folder")
    given = parser.parse_args()
    if bool(given.show) != bool(given.pictures):
        parser.error("expected --show with a picture, and pictures to look in, or none of them")
    shown, *pictures = [given.show, *given.pictures]
    if shown is None:
        shown, *pictures = make_pictures(Path("outputs/pictures"))

    memory = samkit.MemoryPredictor(samkit.load(given.model))
    memory.remember(shown, {1: samkit.Prompt.box(*map(float, given.box.split(",")))})
    for picture in pictures:
        masks = memory.predict(picture)
        path = given.output / f"{Path(picture).stem}.png"
        masks.save(path, image=picture)
        print(f"{picture}: presence {masks.presence[0]:.2f}, {path}")


if __name__ == "__main__":
    main()
