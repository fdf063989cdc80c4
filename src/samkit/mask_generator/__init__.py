"""Everything mode: all masks of an image (2304.02643, appendix B)."""

from samkit.mask_generator.config import MaskGeneratorConfig
from samkit.mask_generator.generator import AutomaticMaskGenerator
from samkit.mask_generator.tiles import tiles_of

__all__ = ["AutomaticMaskGenerator", "MaskGeneratorConfig", "tiles_of"]
