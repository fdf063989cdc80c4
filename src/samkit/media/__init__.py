"""Files to images, and files written whole or not at all."""

from samkit.media.files import IMAGE_SUFFIXES, list_images, write_atomically
from samkit.media.image import MAX_PIXELS, ImageSource, read_image, write_image

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageSource",
    "list_images",
    "read_image",
    "write_atomically",
    "write_image",
]
