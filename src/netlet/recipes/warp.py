"""Random transforms of images: the augmentation of a recipe is a tuple of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlet.display import Displayed
from netlet.recipes.field_checks import check_choice, check_float, check_integer

Interpolation = Literal["bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True)
class Warp(Displayed):
    """A random affine transform of an image and, optionally, an elastic deformation.

    Each image draws its own. The affine parameters are uniform, and a strength is half the width
    of their range: ``rotate_deg=7`` means -7 to 7 degrees. The elastic deformation (Simard and
    others, 2003) moves the points of a grid over the image, edges included, by independent normal
    draws and interpolates smoothly between them.

    Attributes:
        rotate_deg: The largest rotation in degrees.
        shift_px: The largest shift in pixels, along each axis.
        scale: The largest change of size: 0.05 means 0.95 to 1.05 times.
        shear_deg: The largest shear in degrees, along the horizontal axis.
        elastic_px: The standard deviation of a grid point's move in pixels, along each axis.
        elastic_points: The number of points of the grid, along each axis.
        fill: The gray level, 0 to 255, of what comes in from outside the image.
        interpolation: ``bilinear`` or ``nearest``.
    """

    rotate_deg: float = 0.0
    shift_px: float = 0.0
    scale: float = 0.0
    shear_deg: float = 0.0
    elastic_px: float = 0.0
    elastic_points: int = 5
    fill: int = 0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Check the strengths.

        Raises:
            RecipeError: One is out of range.
        """
        check_float(self, "rotate_deg", 0, 180)
        check_float(self, "shift_px", 0, 64)
        check_float(self, "scale", 0, 0.9)
        check_float(self, "shear_deg", 0, 60)
        check_float(self, "elastic_px", 0, 64)
        check_integer(self, "elastic_points", 2, 28)
        check_integer(self, "fill", 0, 255)
        check_choice(self, "interpolation", Interpolation)

    @property
    def is_identity(self) -> bool:
        """Whether it leaves images unchanged."""
        return not (
            self.rotate_deg or self.shift_px or self.scale or self.shear_deg or self.elastic_px
        )
