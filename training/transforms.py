"""Augmentation of one sample: scale, crop, flip and colour, image and labels alike in one warp."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsu.runtime import VOID, Sample

from .config import FitConfig
from .crop_plan import Stage

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Random scale, crop, flip and colour jitter.

    Attributes:
        crop: (H, W) of the result.
        scale: the range of the factor by which an image is enlarged, drawn log-uniformly.
        colour_jitter: the largest relative change of brightness, contrast and saturation.
        white_balance: the largest relative change of each colour channel by itself.
        blur: the largest standard deviation in pixels of a Gaussian blur, which half of the samples get.
        fill: the RGB of what lies outside the image; its label is void.
    """

    crop: tuple[int, int]
    scale: tuple[float, float]
    colour_jitter: float
    fill: tuple[int, int, int]
    white_balance: float = 0.0
    blur: float = 0.0

    @classmethod
    def from_config(cls, config: FitConfig, stage: Stage, mean: tuple[float, float, float]) -> "Augmentation":
        """The augmentation of a fit's stage; outside the image lies the mean colour."""
        fill = tuple(round(255 * m) for m in mean)
        return cls(
            crop=stage.crop,
            scale=stage.scale,
            colour_jitter=config.colour_jitter,
            fill=(fill[0], fill[1], fill[2]),
            white_balance=config.white_balance,
            blur=config.blur,
        )

    def apply(
        self,
        sample: Sample,
        generator: np.random.Generator,
        *,
        focus: tuple[float, float] | None = None,
        enlarged: float = 1.0,
    ) -> Sample:
        """The augmented sample: image uint8 [h,w,3], labels uint8 [h,w] with 255 outside the image.

        Args:
            sample: an image and its labels.
            generator: draws all that is random.
            focus: a pixel (y, x) that the crop contains, at a place that is drawn uniformly.
            enlarged: a factor of the image's sides beside the one that is drawn.
        """
        matrix = self._warp(sample.labels.shape, generator, focus, enlarged)
        size = (self.crop[1], self.crop[0])
        image = cv2.warpAffine(
            sample.image,
            matrix,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=self.fill,
        )
        labels = cv2.warpAffine(
            sample.labels,
            matrix,
            size,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(VOID,),
        )
        recoloured = self._recoloured(np.asarray(image, np.uint8), generator)
        return Sample(self._blurred(recoloured, generator), np.asarray(labels, np.uint8))

    def _warp(
        self,
        shape: tuple[int, ...],
        generator: np.random.Generator,
        focus: tuple[float, float] | None,
        enlarged: float,
    ) -> npt.NDArray[np.float64]:
        """The matrix float64 [2,3] from image to crop coordinates (pixel centres at whole numbers)."""
        factor = enlarged * float(np.exp(generator.uniform(np.log(self.scale[0]), np.log(self.scale[1]))))
        # The crop lies inside an enlarged image that is larger, and a smaller one lies inside the crop.
        slack = [factor * side - target for side, target in zip(shape, self.crop, strict=True)]
        ranges = [(min(0.0, s), max(0.0, s)) for s in slack]
        if focus is not None:
            places = [factor * (place + 0.5) - 0.5 for place in focus]
            ranges = [
                (max(low, place - side + 1), min(high, place))
                for (low, high), place, side in zip(ranges, places, self.crop, strict=True)
            ]
        top, left = (generator.uniform(low, max(low, high)) for low, high in ranges)
        centre = (factor - 1) / 2  # half-pixel centres: x' = factor * (x + 0.5) - 0.5 - left
        matrix = np.array([[factor, 0, centre - left], [0, factor, centre - top]], np.float64)
        if generator.random() < 0.5:
            matrix[0] = [-factor, 0, self.crop[1] - 1 - matrix[0, 2]]
        return matrix

    def _recoloured(
        self, image: npt.NDArray[np.uint8], generator: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        brightness, contrast, saturation = 1 + self.colour_jitter * generator.uniform(-1, 1, 3).astype(
            np.float32
        )
        channels = 1 + self.white_balance * generator.uniform(-1, 1, 3).astype(np.float32)
        pixels = image.astype(np.float32) * (brightness * channels)
        mean = np.float32(pixels.mean())
        pixels = mean + (pixels - mean) * contrast
        grey = (pixels @ _LUMA)[..., None]  # [h, w, 1]
        recoloured = np.rint(grey + (pixels - grey) * saturation)
        return np.asarray(np.clip(recoloured, 0, 255), np.uint8)

    def _blurred(self, image: npt.NDArray[np.uint8], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
        if not self.blur or generator.random() < 0.5:
            return image
        deviation = generator.uniform(0.1, max(0.1, self.blur))
        return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)
