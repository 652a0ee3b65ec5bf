"""Where the person is: masks from files, from alpha, from depth that is cut out already, and whole bodies in them."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from likeness.core.errors import LikenessError

from .files import Blob, decoding
from .images import open_image

_EIGHT = np.ones((3, 3), bool)
#: Share of the picture's rim that may hold depth when the person is cut out (feet or a hand touch the rim).
_CUT_OUT_RIM = 0.2
#: Longest side of the grid on which bodies are told apart.
_LABEL_SIDE_PX = 512


def decode_mask(blob: Blob, size: tuple[int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a mask for a picture of (width, height): (H, W) bool and notes.

    White, 1, true or opaque is the person. A mask of another size but the same shape is resized without mixing.
    Raises `capture.mask_size`, `capture.empty_mask` and the codes of the picture decoder.
    """
    image = open_image(blob, "mask")
    notes: list[str] = []
    with decoding(blob.name, "a mask"):
        image.load()
        mask = binary(np.asarray(_one_channel(image)))
    if not mask.any():
        raise LikenessError(
            "capture.empty_mask",
            f"The mask {blob.name} selects nothing.",
            "Choose another mask, or clear it to let Likeness find the person.",
        )
    if (mask.shape[1], mask.shape[0]) != size:
        mask = fit_mask(mask, size, blob.name)
        notes.append(f"The mask {blob.name} has another size and was resized to {size[0]} x {size[1]}.")
    if mask.mean() > 0.98:
        notes.append(f"The mask {blob.name} covers the whole picture: nothing is masked out.")
    return mask, tuple(notes)


def _one_channel(image: Image.Image) -> Image.Image:
    """The channel that carries the mask: alpha where it says something, else brightness."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        low, high = rgba.getchannel("A").getextrema()
        if low != high:
            return rgba.getchannel("A")
        return rgba.convert("L")
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        return image.convert("L") if image.mode == "1" else image
    return image.convert("L")


def binary(values: np.ndarray) -> np.ndarray:
    """A mask from values of any range: above half of the range that they use (0/1, 0/255 and 0/65535 all work)."""
    if values.dtype == bool:
        return values.copy()
    top = float(np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).max(initial=0.0))
    if top <= 0.0:
        return np.zeros(values.shape, bool)
    full = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
    # A mask of small labels (1, 2) in 8 bits would vanish at half of 255.
    half = 0.5 if top < 0.1 * full else 0.5 * full
    return np.nan_to_num(values) > half


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether one (width, height) is the other resized by one factor and rounded to whole pixels."""

    def resized(source: tuple[int, int], target: tuple[int, int]) -> bool:
        low = max((t - 0.51) / s for s, t in zip(source, target, strict=True))
        high = min((t + 0.51) / s for s, t in zip(source, target, strict=True))
        return low <= high

    return resized(a, b) or resized(b, a)


def fit_mask(mask: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """Resize to (width, height) by nearest neighbour when the shape agrees. Raises `capture.mask_size`."""
    height, width = mask.shape
    if not same_shape((width, height), size):
        raise LikenessError(
            "capture.mask_size",
            f"The mask {name} has {width} x {height} pixels but the picture {size[0]} x {size[1]}.",
            "Give a mask of the picture's own size.",
        )
    return resize_nearest(mask, size)


def resize_nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, ...) to (width, height) without mixing values."""
    rows = np.minimum(((np.arange(size[1]) + 0.5) * image.shape[0] / size[1]).astype(int), image.shape[0] - 1)
    cols = np.minimum(((np.arange(size[0]) + 0.5) * image.shape[1] / size[0]).astype(int), image.shape[1] - 1)
    return image[rows][:, cols]


def smooth_resize(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool to (width, height) with edges that follow the outline instead of the coarse pixels."""
    if (mask.shape[1], mask.shape[0]) == size:
        return mask.copy()
    image = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= 128


def hides_something(alpha: np.ndarray) -> bool:
    """Whether an alpha channel cuts something out; a few stray or softened pixels are no mask."""
    return bool((alpha < 128).mean() > 0.02)


def alpha_mask(alpha: np.ndarray, name: str) -> np.ndarray:
    """(H, W) bool of what is more opaque than not. Raises `capture.empty_mask`."""
    mask = alpha >= 128
    if not mask.any():
        raise LikenessError(
            "capture.empty_mask",
            f"The alpha channel of {name} hides everything.",
            "Export it with the person visible, or without transparency.",
        )
    return mask


def is_cut_out(depth: np.ndarray) -> bool:
    """Whether a depth map (0 = nothing) holds only a person: depth hardly touches the rim and fills little."""
    valid = depth > 0
    rim = np.concatenate([valid[0], valid[-1], valid[1:-1, 0], valid[1:-1, -1]])
    return bool(rim.mean() < _CUT_OUT_RIM and valid.mean() < 0.6)


def without_specks(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool without pieces smaller than a hundredth of its largest."""
    labels, count = ndimage.label(mask, _EIGHT)
    if count <= 1:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return (areas >= 0.01 * areas.max())[labels]


def bodies(mask: np.ndarray) -> list[np.ndarray]:
    """Split a mask into people standing apart: list of (H, W) bool, largest first.

    Parts of one person (an arm cut off by a missing belt, a shoe) go to the nearest body; only pieces that are of a
    body's size and stand beside each other count as people.
    """
    height, width = mask.shape
    step = max(1, max(height, width) // _LABEL_SIDE_PX)
    # Blocks that hold any of the mask: who stands apart is seen as well on a coarse grid, in a fraction of the time.
    padded = np.pad(mask, ((0, -height % step), (0, -width % step)))
    coarse = padded.reshape(padded.shape[0] // step, step, -1, step).any(axis=(1, 3))
    reach = max(1, round(0.01 * max(coarse.shape)))
    labels, count = ndimage.label(ndimage.binary_dilation(coarse, _EIGHT, iterations=reach), _EIGHT)
    labels = np.where(coarse, labels, 0)
    boxes = ndimage.find_objects(labels, max_label=count)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = [int(i) for i in np.argsort(-areas, kind="stable") if areas[i] > 0]
    cores = order[:1]
    for i in order[1:]:
        if areas[i] >= 0.3 * areas[order[0]] and all(_beside(boxes[i], boxes[k]) for k in cores):
            cores.append(i)
    if len(cores) <= 1:
        return [mask]
    seeds = np.where(np.isin(labels, [c + 1 for c in cores]), labels, 0)
    rows, cols = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    owner = np.kron(seeds[rows, cols], np.ones((step, step), seeds.dtype))[:height, :width]
    return [mask & (owner == c + 1) for c in cores]


def _beside(a: tuple[slice, slice], b: tuple[slice, slice]) -> bool:
    """Whether two boxes stand side by side: they share rows but hardly any columns."""

    def overlap(s: slice, t: slice) -> float:
        shared = min(s.stop, t.stop) - max(s.start, t.start)
        return max(shared, 0) / min(s.stop - s.start, t.stop - t.start)

    return overlap(a[1], b[1]) < 0.3 and overlap(a[0], b[0]) > 0.5
