"""Pictures as people have them (phone, camera, scanner, editor) to 8-bit sRGB, upright."""

from __future__ import annotations

import io
import math
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps
from scipy import ndimage

from likeness.core.errors import LikenessError

from .files import WORDS, Blob, check_size, decoding
from .limits import MAX_PIXELS, MAX_WORK_SIDE_PX

_FORMATS = {
    "png": ("PNG",),
    "jpeg": ("JPEG", "MPO"),
    "gif": ("GIF",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
    "webp": ("WEBP",),
    "avif": ("AVIF",),
}
PICTURE_KINDS = (*_FORMATS, "heif")
_EXIF_IFD, _FOCAL_35MM, _EXIF_WIDTH, _EXIF_HEIGHT, _ORIENTATION = 0x8769, 0xA405, 0xA002, 0xA003, 0x0112
#: Diagonal of the 36 x 24 mm frame that "35 mm equivalent" refers to.
_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
#: Alpha below which a pixel's colour is what an editor left behind, not the person.
_CLEAR_ALPHA = 8
#: How far around the person transparent pixels get the colours of their neighbours.
_BLEED_PX = 64


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    color: (H, W, 3) u8 sRGB. alpha: (H, W) u8, None where the file has none or all of it is opaque.
    focal_px: focal length from EXIF in pixels of this picture, None where unknown or not to be trusted.
    stored_size: (width, height) of the file, upright; larger than color where that was shrunk to be worked on.
    notes: sentences about what had to be done to read it.
    """

    name: str
    color: np.ndarray
    alpha: np.ndarray | None
    focal_px: float | None
    notes: tuple[str, ...]
    stored_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.color.shape[1], self.color.shape[0]


def open_image(blob: Blob, what: str = "picture") -> Image.Image:
    """Open a picture lazily after checking kind and size; nothing is decoded yet.

    Raises `input.not_a_picture`, `input.too_large`, `input.too_small`, `input.damaged`.
    """
    if blob.kind not in PICTURE_KINDS:
        raise LikenessError(
            "input.not_a_picture",
            f"{blob.name} is no picture: its content is {WORDS[blob.kind]}.",
            "Choose a PNG, JPEG, TIFF or HEIC file.",
        )
    with decoding(blob.name, WORDS[blob.kind]), warnings.catch_warnings():
        # Pillow's own limits are higher than ours, and odd metadata alone makes no picture unusable.
        warnings.simplefilter("ignore")
        try:
            image = (
                _open_heif(blob)
                if blob.kind == "heif"
                else Image.open(io.BytesIO(blob.data), formats=_FORMATS[blob.kind])
            )
        except Image.DecompressionBombError as error:
            raise LikenessError(
                "input.too_large",
                f"The {what} {blob.name} is too large: more than {MAX_PIXELS // 10**6} megapixels.",
                "Shrink it and try again.",
            ) from error
        check_size(blob.name, *image.size, what)
    return image


def _open_heif(blob: Blob) -> Image.Image:
    import pillow_heif

    try:
        heif = pillow_heif.open_heif(io.BytesIO(blob.data), convert_hdr_to_8bit=True)
        check_size(blob.name, *heif.size)
        image: Image.Image = heif.to_pillow()
    except LikenessError:
        raise
    except Exception as error:
        # libheif's messages are for programmers; the artist can act on one thing only.
        raise LikenessError(
            "input.damaged",
            f"{blob.name} is a HEIC file that is damaged or holds no picture.",
            "Export it as JPEG or PNG.",
        ) from error
    return image


def decode_picture(blob: Blob) -> Picture:
    """Decode a colour picture of any common kind to upright 8-bit sRGB."""
    image = open_image(blob)
    notes: list[str] = []
    with decoding(blob.name, WORDS[blob.kind]):
        frames = int(getattr(image, "n_frames", 1))
        image.load()
    if frames > 1 and image.format in ("GIF", "TIFF", "WEBP", "PNG"):
        notes.append(f"{blob.name} holds {frames} pictures; the first is used.")
    focal = _focal_px(image)
    with decoding(blob.name, WORDS[blob.kind]):
        rgb, alpha = _to_srgb(_upright(image))
    stored = rgb.shape[1], rgb.shape[0]
    if alpha is not None and int(alpha.min()) == 255:
        alpha = None
    if max(stored) > MAX_WORK_SIDE_PX:
        rgb, alpha = _shrink(rgb, alpha)
        focal = None if focal is None else focal * rgb.shape[1] / stored[0]
        notes.append(
            f"{blob.name} has {stored[0]} x {stored[1]} pixels and was shrunk to {rgb.shape[1]} x {rgb.shape[0]}."
        )
    if alpha is not None:
        rgb = _fill_clear(rgb, alpha)
    return Picture(blob.name, rgb, alpha, focal, tuple(notes), stored)


def _shrink(rgb: np.ndarray, alpha: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Bring the longest side to the working limit; hidden colours of clear pixels do not mix in."""
    scale = MAX_WORK_SIDE_PX / max(rgb.shape[:2])
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    layers = rgb if alpha is None else np.dstack([rgb, alpha])
    # Pillow weighs colours by alpha while it resizes RGBA.
    small = np.asarray(Image.fromarray(layers).resize(size, Image.Resampling.LANCZOS))
    return np.ascontiguousarray(small[..., :3]), None if alpha is None else np.ascontiguousarray(small[..., 3])


def _upright(image: Image.Image) -> Image.Image:
    """Apply EXIF orientation; values outside 1..8 are ignored, as viewers do."""
    if image.getexif().get(_ORIENTATION, 1) in range(2, 9):
        return ImageOps.exif_transpose(image)
    return image


def _to_srgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Any Pillow mode to (H, W, 3) u8 sRGB and (H, W) u8 alpha or None."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        grey = np.asarray(image).astype(np.float64)
        peak = 65535.0 if image.mode != "F" else max(float(np.nanmax(grey)), 1e-9)
        eight = np.clip(np.nan_to_num(grey) / peak * 255.0 + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(eight[..., None], 3, axis=2), None
    alpha = None
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A")).copy()
        profile = image.info.get("icc_profile")
        image = image.convert("RGB")
        image.info["icc_profile"] = profile
    image = _apply_profile(image)
    return np.asarray(image.convert("RGB")).copy(), alpha


def _apply_profile(image: Image.Image) -> Image.Image:
    """Convert from an embedded colour profile to sRGB; a broken profile counts as none."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in (ImageCms.getProfileDescription(source) or "").lower():
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image
    return converted if converted is not None else image


def _fill_clear(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give transparent pixels the colour of the nearest opaque one, so that no hidden colour bleeds in.

    Far from anything opaque they become black.
    """
    solid = alpha >= 128
    clear = alpha < _CLEAR_ALPHA
    if not solid.any() or not clear.any():
        return color
    rows, cols = np.nonzero(solid)
    window = tuple(slice(max(n.min() - _BLEED_PX, 0), n.max() + 1 + _BLEED_PX) for n in (rows, cols))
    filled = np.where(clear[..., None], np.uint8(0), color)
    near = ndimage.distance_transform_edt(~solid[window], return_distances=False, return_indices=True)
    here = clear[window]
    filled[window][here] = color[window][near[0][here], near[1][here]]
    return filled


def _focal_px(image: Image.Image) -> float | None:
    """Focal length in pixels from the 35 mm equivalent in EXIF.

    Not trusted where the file says that the picture was cropped after it was taken (EXIF size of another aspect).
    """
    try:
        exif = image.getexif().get_ifd(_EXIF_IFD)
        equivalent_mm = float(exif.get(_FOCAL_35MM) or 0)
        stated = float(exif.get(_EXIF_WIDTH) or 0), float(exif.get(_EXIF_HEIGHT) or 0)
    except (OSError, ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, struct.error):
        return None
    if not 5.0 <= equivalent_mm <= 1200.0:
        return None
    width, height = image.size
    if min(stated) > 0:
        aspect, now = max(stated) / min(stated), max(width, height) / min(width, height)
        if abs(aspect / now - 1.0) > 0.02:
            return None
    return equivalent_mm / _FRAME_DIAGONAL_MM * math.hypot(width, height)
