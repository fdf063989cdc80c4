"""The interface of all networks; code outside `samkit.nn` uses nothing else of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from samkit.nn.features import ImageFeatures
from samkit.nn.mask_decoder import Attended, MaskDecoder, MaskPrediction
from samkit.nn.memory import Memory, MemoryTokens, ObjectPrediction, ReachableMemory
from samkit.nn.prompt_encoder import PromptEncoder, PromptTensors
from samkit.sizes import NetworkConfig, Sam2Config

__all__ = ["MemoryNetwork", "Network"]


class Network(nn.Module, ABC):
    """Encodes an image once, then decodes any number of prompts.

    Attributes:
        config: its sizes.
        has_memory: whether it is a `MemoryNetwork` whose memory is trained.
    """

    config: NetworkConfig
    has_memory: bool = False
    image_encoder: nn.Module
    prompt_encoder: PromptEncoder
    mask_decoder: MaskDecoder

    @abstractmethod
    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Normalised pixels (B, C, H, W) -> features of B images.

        H and W are multiples of `NetworkConfig.input_step`. Pixels are in the image encoder's
        dtype, features in the mask decoder's, which may differ.
        """

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """Features of an image on its own, for `decode`."""
        return features

    def decode_masks(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on one image, or on N images, without memory."""
        return self.mask_decoder.masks(self.attend(features, prompts))

    def attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        """The first step of `decode_masks`: scores without masks."""
        return self._attend(self.without_memory(features), prompts)

    def decode(self, features: ImageFeatures, prompts: PromptTensors) -> MaskPrediction:
        """All masks of N prompts on features from `without_memory` or `condition`."""
        return self.mask_decoder.masks(self._attend(features, prompts))

    def _attend(self, features: ImageFeatures, prompts: PromptTensors) -> Attended:
        positions = self.prompt_encoder.positions(*features.embedding.shape[-2:])
        embedding = self.prompt_encoder(prompts, features.prompt_size)
        return self.mask_decoder.attend(features, positions, embedding)


class MemoryNetwork(Network):
    """A network that also predicts objects from their memories (2408.00714, section 4)."""

    config: Sam2Config

    @abstractmethod
    def recall(self, features: ImageFeatures, reachable: Sequence[ReachableMemory]) -> Tensor:
        """The output of memory attention in a frame for N objects: (N, D, h, w), for `condition`.

        Args:
            features: of one frame, shared by all objects.
            reachable: of each object; each has at least one memory.
        """

    @abstractmethod
    def condition(self, features: ImageFeatures, recalled: Tensor) -> ImageFeatures:
        """Features of a frame, conditioned on the memories of N objects, for `decode`.

        Args:
            features: of one frame, shared by all objects.
            recalled: (N, D, h, w) of `recall`.
        """

    @abstractmethod
    def memory_tokens(
        self, reachable: Sequence[ReachableMemory], grid: tuple[int, int]
    ) -> MemoryTokens:
        """The memories of N objects as the memory attention takes them.

        Args:
            reachable: of each object.
            grid: rows and columns of the image embedding.
        """

    @abstractmethod
    def propagation_prompts(self, previous: Sequence[Tensor | None]) -> PromptTensors:
        """The prompts of N objects that are only tracked.

        Args:
            previous: mask logits (h, w) of each in the frame before; None where there are none.
        """

    @abstractmethod
    def segment(
        self, features: ImageFeatures, prompts: PromptTensors, *, ambiguous: bool
    ) -> ObjectPrediction:
        """One mask of each of N objects in a frame.

        Args:
            features: of one frame or of N, from `without_memory` or `condition`.
            prompts: N prompts.
            ambiguous: take the best-scored of the three candidates instead of the single mask.
        """

    @abstractmethod
    def choose(self, prediction: MaskPrediction, *, ambiguous: bool) -> ObjectPrediction:
        """One of the masks of each object, as in `segment`."""

    @abstractmethod
    def from_masks(self, features: ImageFeatures, masks: Tensor) -> ObjectPrediction:
        """Given masks as the prediction of N objects in a frame.

        Args:
            features: of one frame, without memory.
            masks: (N, 1, 16 h, 16 w) float 0 or 1, of an embedding (h, w).
        """

    @abstractmethod
    def remember(
        self, features: ImageFeatures, prediction: ObjectPrediction, *, prompted: bool
    ) -> list[Memory]:
        """The memory of each of N objects in a frame.

        Args:
            features: of the frame, without memory.
            prediction: of the objects; logits that are (N, 16 h, 16 w), of an embedding (h, w), are
                taken as they are.
            prompted: masks of prompted frames are remembered as 0 or 1, others as probabilities.
        """

    @abstractmethod
    def memory_positions(self, grid: tuple[int, int]) -> Tensor:
        """Position encodings (M, d) of the tokens of a frame's memory.

        Args:
            grid: rows and columns of the image embedding.
        """
