"""A thing cut out of a clip -> a .mov with opacity for a film, and a still.

    python examples/cut_out.py [CLIP X0 Y0 X1 Y1]

The box is around the thing on the first frame; without arguments it is the cup in coffee.mp4. In
one line: `samkit track CLIP --box 0:1:X0,Y0,X1,Y1 --largest --feather 2 -o cut.mov`.
"""

import sys
from pathlib import Path

import samkit
from samkit.masks.sequences import PictureVideoWriter
from samkit.media.frames import open_frames


def main() -> None:
    if len(sys.argv) == 6:
        clip, box = Path(sys.argv[1]), [float(value) for value in sys.argv[2:]]
    else:
        clip, box = Path(__file__).parent / "coffee.mp4", [114, 0, 303, 188]

    out = Path("outputs")
    frames = open_frames(clip)
    writer = PictureVideoWriter(out / f"{clip.stem}.mov", frames, feather=2)
    with samkit.VideoPredictor(samkit.load("pico"), frames) as tracker:
        tracker.prompt(0, 1, samkit.Prompt.box(*box))
        for frame, masks in tracker.track():
            clean = masks.cleaned(fill_holes=True, largest=True)
            writer.write(frame, clean)
            if frame == 0:
                still = out / f"{clip.stem}_still.png"
                clean.save(still, format="cutout", image=frames.read(frame), refine=6)
    writer.close()
    frames.close()
    print(f"{out}/{clip.stem}.mov and {still}")


if __name__ == "__main__":
    main()
