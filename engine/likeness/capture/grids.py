"""Colour, depth and calibration of any sizes to one view: straightened, registered, with one camera."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from likeness.core.camera import Camera
from likeness.core.errors import LikenessError

from .cleaning import drop_flying
from .distortion import Distortion, resample, source_pixels
from .framing import assumed_camera, checked_focal
from .intrinsics import Calibration, Lens, check_lens_size
from .masks import same_shape
from .registration import register_depth
from .sources import Sources


@dataclass
class Grid:
    """One view. color (H, W, 3) u8, alpha (H, W) u8 or None, camera: of colour.

    depth (h, w) f32 metres, 0 = none: the same view, perhaps at the sensor's lower resolution.
    straighten: distortion that masks of colour still need removed, or None.
    """

    color: np.ndarray
    alpha: np.ndarray | None
    depth: np.ndarray
    camera: Camera
    camera_known: bool
    straighten: Distortion | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of colour in pixels."""
        return self.camera.width, self.camera.height

    def straight_mask(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool at colour's size, moved like colour was."""
        if self.straighten is None:
            return mask
        columns, rows = source_pixels(self.camera, self.straighten)
        return resample(mask.astype(np.uint8), columns, rows, nearest=True) > 0


def one_grid(sources: Sources, depth: np.ndarray, focal_px: float | None = None) -> Grid:
    """Bring the parts of a capture to one view. depth: (h, w) f32 metres on its own grid.
    focal_px: of the colour picture as stored, which overrides the files' for a registered pair.

    Raises `capture.size` where colour and depth do not belong together and `capture.intrinsics` where the
    calibration belongs to other pictures.
    """
    color, calibration = sources.color, sources.calibration
    notes: list[str] = []
    if calibration is not None and calibration.depth_lens is not None and calibration.color_from_depth is not None:
        depth, straighten, camera = _register(sources, calibration, calibration.depth_lens, depth)
        notes.append("Depth was seen by a camera of its own and was registered to colour.")
    else:
        _check_shapes(sources)
        # What the files lack or only guess needs no word when the artist says it.
        camera, straighten = _one_camera(sources, notes if focal_px is None else [])
        if focal_px is not None:
            camera = _refocused(camera, sources, focal_px)
        if straighten is not None:
            depth = _straight(depth, camera.scaled(depth.shape[1], depth.shape[0]), straighten, nearest=True)
        if sources.depth.size != color.size:
            wide, high = sources.depth.size
            notes.append(
                f"Depth has {wide} x {high} pixels and colour {color.size[0]} x {color.size[1]}: "
                "they are taken for the same view."
            )
    pixels, alpha = color.color, color.alpha
    if straighten is not None:
        pixels = _straight(pixels, camera, straighten, nearest=False)
        alpha = None if alpha is None else _straight(alpha, camera, straighten, nearest=False)
        notes.append("Lens distortion was removed.")
    known = calibration.known if calibration is not None else color.focal_px is not None
    known = known or focal_px is not None
    return Grid(pixels, alpha, depth, camera, known, straighten, notes)


def _refocused(camera: Camera, sources: Sources, focal_px: float) -> Camera:
    stored = sources.color.stored_size or sources.color.size
    focal = checked_focal(focal_px, stored, sources.color.name) * camera.width / stored[0]
    return replace(camera, fx=focal, fy=focal)


def _straight(image: np.ndarray, camera: Camera, distortion: Distortion, *, nearest: bool) -> np.ndarray:
    columns, rows = source_pixels(camera, distortion)
    return resample(image, columns, rows, nearest=nearest)


def _check_shapes(sources: Sources) -> None:
    """Refuse a registered pair of different aspect. Raises `capture.size`."""
    color, depth = sources.color.size, sources.depth.size
    if not same_shape(color, depth):
        turned = same_shape(color, depth[::-1])
        raise LikenessError(
            "capture.size",
            f"{sources.depth.name} has {depth[0]} x {depth[1]} pixels but {sources.color.name} has "
            f"{color[0]} x {color[1]}, so they do not belong together.",
            "Turn one of the two, which seem to be turned against each other."
            if turned
            else "Export depth registered to colour.",
        )


def _one_camera(sources: Sources, notes: list[str]) -> tuple[Camera, Distortion | None]:
    """The camera at colour's size and the distortion to remove."""
    size, calibration = sources.color.size, sources.calibration
    if calibration is None:
        camera = assumed_camera(size, sources.color.focal_px)
        how = "its EXIF focal length is used" if sources.color.focal_px else f"{camera.fx:.0f} pixels are assumed"
        notes.append(f"{sources.name} comes without intrinsics: {how}, so its size may be wrong.")
        return camera, None
    lens = calibration.lens
    if lens.size is None:
        # Without a size the numbers hold for the picture whose middle they are nearest to.
        held = min((size, sources.depth.size), key=lambda s: abs(lens.cx / s[0] - 0.5) + abs(lens.cy / s[1] - 0.5))
    else:
        held = lens.size
    camera = _scaled(lens, held, size, calibration.name, sources.color.name)
    if held not in (size, sources.depth.size, sources.color.stored_size):
        notes.append(f"The intrinsics hold for {held[0]} x {held[1]} pixels and were scaled.")
    if not calibration.known:
        notes.append(f"{calibration.name} says that the intrinsics are not known: the size may be wrong.")
    return camera, lens.distortion


def _scaled(lens: Lens, held: tuple[int, int], size: tuple[int, int], name: str, picture: str) -> Camera:
    """The lens as a camera for pictures of another size. Raises `capture.intrinsics` where the aspect differs."""
    check_lens_size(lens, held, name)
    if not same_shape(held, size):
        raise LikenessError(
            "capture.intrinsics",
            f"The intrinsics in {name} hold for {held[0]} x {held[1]} pixels but {picture} has {size[0]} x {size[1]}.",
            "Give the calibration of this resolution.",
        )
    camera = Camera(lens.fx, lens.fy, lens.cx, lens.cy, *held)
    return camera if held == size else camera.scaled(*size)


def _register(
    sources: Sources, calibration: Calibration, depth_lens: Lens, depth: np.ndarray
) -> tuple[np.ndarray, Distortion | None, Camera]:
    """Depth seen from the colour camera: (H, W) f32 at colour's size, colour's distortion and camera."""
    color_from_depth = calibration.color_from_depth
    assert color_from_depth is not None
    size, depth_size = sources.color.size, sources.depth.size
    lens = calibration.lens
    camera = _scaled(lens, lens.size or size, size, calibration.name, sources.color.name)
    depth_camera = _scaled(depth_lens, depth_lens.size or depth_size, depth_size, calibration.name, sources.depth.name)
    if depth_lens.distortion is not None:
        depth = _straight(depth, depth_camera, depth_lens.distortion, nearest=True)
    depth = drop_flying(depth, 0.5 * (depth_camera.fx + depth_camera.fy))
    return register_depth(depth, depth_camera, camera, color_from_depth), lens.distortion, camera
