"""Files to images and to the frames of videos, and files written whole or not at all.

From the bottom to the top, each file imports only those before it:

- `files`: the image files that paths, folders and patterns name;
- `writing`: files that appear whole or not at all;
- `pixels`: arrays of any usual kind to RGB;
- `tiff_series`, `tiff`: pages of TIFF files, and windows of them;
- `image`: one image from any usual source, and to a file;
- `georeference`: where an image lies on the map;
- `windows`: an image that is read window by window;
- `stream`: frames that can be read once, in order;
- `animation`: which pictures are animated; frames of those that FFmpeg cannot read;
- `container`: video files and addresses, opened; `upright`: their frames as RGB;
- `joints`, `video_index`, `video_file`: which frames a video file has; decoding them;
- `address`: frames of a video at an address;
- `frames`: the frames of any source;
- `video_writer`: frames to a video file.
"""

from samkit.media.files import IMAGE_SUFFIXES, list_images
from samkit.media.image import ImageSource, open_picture, read_image, write_image
from samkit.media.writing import write_atomically

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageSource",
    "list_images",
    "open_picture",
    "read_image",
    "write_atomically",
    "write_image",
]
