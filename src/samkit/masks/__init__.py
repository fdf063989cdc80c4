"""The result of every prediction, its files and its forms in other libraries.

From the bottom to the top, each file imports only those before it:

- `checks`: checks of values from outside;
- `storage`: the pixels of N masks, as pixels or as run lengths;
- `fields`: the arrays that go with N masks, such as scores and ids;
- `stack`: N masks with their fields, and how they are chosen and joined;
- `contours`: outlines as polygons; `regions`: holes and parts; `matting`: soft edges;
- `drawing`: masks on pictures;
- `categories`: what masks are of;
- `label_maps`: pictures of numbers;
- `brush`, `labelstudio`, `labelme`, `voc`: the forms of these tools;
- `documents`: masks as text; `maps`: masks on the map; `npz`: masks with all that goes with them;
- `formats`: masks to files and back;
- `result`: `Masks`, a stack with all of these forms;
- `rows` and `coco_stream`: rows, and COCO data sets, to files as they come;
- `datasets`: the masks of many images in one file;
- `sequences`, `stacks` and `masklets`: the masks of a video to files, frame by frame.
"""

from samkit.masks.formats import FORMATS, format_of
from samkit.masks.result import Masks
from samkit.rle import RLE

__all__ = ["FORMATS", "RLE", "Masks", "format_of"]
