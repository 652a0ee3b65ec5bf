"""What depth maps and pictures of people are like, in numbers: noise, normals, folds, outlines, holes, colour.

Every statistic is computed alike on real and synthetic readings. Lengths are metres, angles degrees, unless the name
of the statistic says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.core.camera import Camera
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color as colors
from skimage import measure, transform

PATCH_PX = 16
#: Share of the patches that count as smooth, so that noise is seen and not folds.
SMOOTH_SHARE = 0.3
#: A patch that spans more than this is no single surface.
PATCH_DEPTH_M = 0.08
FOLD_BANDS_CM = ((1, 2), (2, 4), (4, 8), (8, 16))
OUTLINE_BANDS_CM = ((1, 2), (2, 4), (4, 8))
#: Sizes of detail in the picture when the person is this tall.
PICTURE_ROWS = 400
PICTURE_BANDS_PX = ((1, 2), (2, 4), (4, 8))
#: A larger gap in the outline is no hole.
HOLE_M2 = 0.002
FLYING_M = 0.03
RIM_PX = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One reading of one person. depth (h, w) f32 m, 0 = none or not the person; person (h, w) bool:
    where there is a reading of the person; color (H, W, 3) u8 and color_mask
    (H, W) bool of its picture, None without one."""

    depth: NDArray[np.float32]
    camera: Camera
    person: NDArray[np.bool_]
    color: NDArray[np.uint8] | None = None
    color_mask: NDArray[np.bool_] | None = None

    @property
    def filled(self) -> NDArray[np.bool_]:
        """The person's largest piece with its holes and cracks closed; what shows between arm and body stays open."""
        closed = ndimage.binary_closing(np.pad(self.person, 1))[1:-1, 1:-1]
        gaps, count = ndimage.label(~closed)
        small = np.bincount(gaps.ravel(), minlength=count + 1) * self.pitch_m**2 < HOLE_M2
        small[0] = False
        closed |= small[gaps]
        labels, count = ndimage.label(closed)
        if count < 2:
            return closed
        return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))

    @property
    def distance_m(self) -> float:
        """Median distance of the person."""
        return float(np.median(self.depth[self.person & (self.depth > 0)]))

    @property
    def pitch_m(self) -> float:
        """Width of a pixel at the person."""
        return self.distance_m / self.camera.fx


def depth_statistics(sample: Sample) -> dict[str, float]:
    """All figures of the depth, NaN where the reading gives too little."""
    return {
        **noise(sample),
        **normal_figures(sample),
        **folds(sample),
        **outline(sample),
        **rim(sample),
    }


def noise(sample: Sample) -> dict[str, float]:
    """RMS in mm about a quadric on the smoothest patches, and the share of its power by frequency (cycles a pixel)."""
    patches = _patches(sample)
    names = ("noise_mm", "noise_slow", "noise_middle", "noise_fine")
    if len(patches) < 4:
        return dict.fromkeys(names, np.nan)
    y, x = np.mgrid[-1 : 1 : PATCH_PX * 1j, -1 : 1 : PATCH_PX * 1j]
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).reshape(-1, 6)
    basis, _ = np.linalg.qr(basis)
    flat = patches.reshape(len(patches), -1)
    rest = flat - flat @ basis @ basis.T
    rms = np.sqrt((rest**2).mean(1) * PATCH_PX**2 / (PATCH_PX**2 - 6))
    kept = rest[rms <= np.quantile(rms, SMOOTH_SHARE)].reshape(-1, PATCH_PX, PATCH_PX)
    window = np.hanning(PATCH_PX + 2)[1:-1]
    power = (np.abs(np.fft.fft2(kept * np.outer(window, window))) ** 2).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(PATCH_PX), np.fft.fftfreq(PATCH_PX)))
    bands = [power[(frequency >= low) & (frequency < high)].sum() for low, high in ((0, 0.125), (0.125, 0.25))]
    bands.append(power[frequency >= 0.25].sum())
    shares = np.array(bands) / max(sum(bands), 1e-30)
    level = float(np.sqrt((kept**2).mean()) * 1e3)
    return dict(zip(names, (level, *shares.tolist()), strict=True))


def _patches(sample: Sample) -> Floats:
    """Windows (N, PATCH_PX, PATCH_PX) of depth that are whole and lie on one surface, half overlapping."""
    inside = sample.person & (sample.depth > 0)
    step = PATCH_PX // 2
    views = np.lib.stride_tricks.sliding_window_view(sample.depth, (PATCH_PX, PATCH_PX))[::step, ::step]
    whole = np.lib.stride_tricks.sliding_window_view(inside, (PATCH_PX, PATCH_PX))[::step, ::step].all((2, 3))
    found = views[whole].astype(float)
    return found[np.ptp(found.reshape(len(found), -1), axis=1) < PATCH_DEPTH_M]


def _slopes(sample: Sample) -> tuple[Floats, Floats]:
    """Points and unit normals (h, w, 3) by central differences, zero at the rim."""
    points = sample.camera.rays() * sample.depth.astype(float)[..., None]
    across, down = np.zeros_like(points), np.zeros_like(points)
    across[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[1:-1] = points[2:] - points[:-2]
    normal = np.cross(down, across)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return points, normal


def normals(sample: Sample) -> tuple[Floats, NDArray[np.bool_]]:
    """Unit normals (h, w, 3) by central differences, and where they hold: whole neighbourhoods on one surface."""
    depth = sample.depth.astype(float)
    _, normal = _slopes(sample)
    inside = ndimage.binary_erosion(sample.person & (depth > 0), np.ones((3, 3)))
    jump = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3)
    return normal, inside & (jump < 0.06)


def normal_angles(sample: Sample) -> Floats:
    """Angles (N,) in degrees between the surface and the line of sight."""
    normal, holds = normals(sample)
    rays = sample.camera.rays().astype(float)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    cosine = np.abs((normal * rays).sum(-1))[holds]
    return np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def normal_figures(sample: Sample) -> dict[str, float]:
    """Median angle to the line of sight and median spread of normals in windows of 5 x 5 pixels, degrees."""
    normal, holds = normals(sample)
    if holds.sum() < 50:
        return {"normal_angle_deg": np.nan, "normal_spread_deg": np.nan}
    weight = ndimage.uniform_filter(holds.astype(float), 5)
    mean = np.stack([ndimage.uniform_filter(normal[..., k] * holds, 5) for k in range(3)], -1)
    length = np.linalg.norm(mean, axis=-1) / np.maximum(weight, 1e-9)
    spread = np.degrees(np.arccos(np.clip(length, -1, 1)))[holds & (weight > 0.99)]
    return {
        "normal_angle_deg": float(np.median(normal_angles(sample))),
        "normal_spread_deg": float(np.median(spread)) if spread.size else np.nan,
    }


def folds(sample: Sample) -> dict[str, float]:
    """RMS relief in mm between body scales (Gaussian of one half-width against the next) from shoulder to shin."""
    rows = np.nonzero(sample.filled.any(1))[0]
    names = [f"relief_{low}_{high}cm_mm" for low, high in FOLD_BANDS_CM]
    if len(rows) < 32:
        return dict.fromkeys(names, np.nan)
    inside = sample.person & (sample.depth > 0)
    jump = ndimage.maximum_filter(sample.depth, 3) - ndimage.minimum_filter(sample.depth, 3)
    inside &= jump < 0.06
    middle = np.zeros_like(inside)
    middle[rows[0] + len(rows) // 5 : rows[0] + len(rows) * 17 // 20] = True
    depth = np.where(inside, sample.depth, 0).astype(float)
    depth -= sample.distance_m * inside
    found = {}
    for name, (low, high) in zip(names, FOLD_BANDS_CM, strict=True):
        # A wave of length L passes a Gaussian of L / 4 with about 30 %.
        fine, coarse = (0.01 * size / 4 / sample.pitch_m for size in (low, high))
        if coarse < 0.5:
            found[name] = np.nan
            continue
        band = _blurred(depth, inside, fine) - _blurred(depth, inside, coarse)
        deep = ndimage.binary_erosion(inside, iterations=max(1, round(1.5 * coarse))) & middle
        found[name] = float(np.sqrt((band[deep] ** 2).mean()) * 1e3) if deep.sum() > 100 else np.nan
    return found


def _blurred(field: Floats, inside: NDArray[np.bool_], sigma: float) -> Floats:
    weight = ndimage.gaussian_filter(inside.astype(float), sigma)
    return ndimage.gaussian_filter(field * inside, sigma) / np.maximum(weight, 1e-6)


def outline(sample: Sample) -> dict[str, float]:
    """The outline's length against the same smoothed over 2 cm, and its RMS deviation in mm by wavelength."""
    names = ["outline_ratio", *(f"outline_{low}_{high}cm_mm" for low, high in OUTLINE_BANDS_CM)]
    lines = measure.find_contours(np.pad(sample.filled.astype(float), 1), 0.5)
    if not lines:
        return dict.fromkeys(names, np.nan)
    line = max(lines, key=len) * sample.pitch_m
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    spacing = 0.0025
    count = max(64, int(along[-1] / spacing))
    at = np.linspace(0, along[-1], count, endpoint=False)
    even = np.stack([np.interp(at, along, line[:, k]) for k in (0, 1)], 1)

    def smoothed(length_m: float) -> Floats:
        return ndimage.gaussian_filter1d(even, length_m / spacing, axis=0, mode="wrap")

    def length(points: Floats) -> float:
        return float(np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1).sum())

    # Steps of the pixel grid are not the outline's: one pixel of smoothing before any measure.
    fine = smoothed(sample.pitch_m)
    found = {names[0]: length(fine) / length(smoothed(0.02))}
    for name, (low, high) in zip(names[1:], OUTLINE_BANDS_CM, strict=True):
        inner = max(0.01 * low / 4, sample.pitch_m / 2)
        if 0.01 * high / 4 <= inner:
            found[name] = np.nan
            continue
        band = smoothed(inner) - smoothed(0.01 * high / 4)
        found[name] = float(np.sqrt((band**2).sum(1).mean()) * 1e3)
    return found


def rim(sample: Sample) -> dict[str, float]:
    """Share of the person without a reading; share of the outermost three pixels' readings that hang in the air.

    Such a reading has fewer than two of its eight neighbours within FLYING_M, so it lies on no surface.
    """
    filled, read = sample.filled, sample.person & (sample.depth > 0)
    within = ndimage.distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    border = filled & (within <= RIM_PX) & read
    if border.sum() < 50:
        return {"holes": np.nan, "rim_flying": np.nan}
    padded = np.pad(np.where(read, sample.depth, np.inf), 1, constant_values=np.inf)
    height, width = sample.depth.shape
    joined = np.zeros(sample.depth.shape, int)
    for row in range(3):
        for column in range(3):
            joined += np.abs(padded[row : row + height, column : column + width] - sample.depth) < FLYING_M
    # The pixel itself has been counted too.
    flying = (joined < 3)[border].mean()
    return {"holes": float((filled & ~read).sum() / filled.sum()), "rim_flying": float(flying)}


def color_statistics(sample: Sample) -> dict[str, float]:
    """Lightness and saturation of the person's pixels (0..1), and RMS of lightness by size of detail."""
    if sample.color is None or sample.color_mask is None or sample.color_mask.sum() < 500:
        return {}
    rows = np.nonzero(sample.color_mask.any(1))[0]
    scale = PICTURE_ROWS / (rows[-1] - rows[0] + 1)
    picture = transform.rescale(sample.color / 255.0, scale, anti_aliasing=scale < 1, channel_axis=2, order=1)
    mask = transform.resize(sample.color_mask.astype(float), picture.shape[:2], order=1) > 0.99
    light = colors.rgb2lab(picture)[..., 0] / 100
    saturation = colors.rgb2hsv(picture)[..., 1]
    found = {
        "light_mean": float(light[mask].mean()),
        "light_contrast": float(light[mask].std()),
        "saturation": float(saturation[mask].mean()),
    }
    for low, high in PICTURE_BANDS_PX:
        band = _blurred(light, mask, low / 2) - _blurred(light, mask, high / 2)
        deep = ndimage.binary_erosion(mask, iterations=2 * high)
        found[f"detail_{low}_{high}px"] = float(band[deep].std()) if deep.any() else np.nan
    return found


def shaded(sample: Sample) -> NDArray[np.uint8]:
    """The reading (h, w) u8 as a relief lit from the upper left."""
    points, normal = _slopes(sample)
    normal *= np.sign(-(normal * points).sum(-1, keepdims=True) + 1e-20)
    light = np.array([0.5, -0.5, -0.7]) / np.linalg.norm([0.5, -0.5, -0.7])
    bright = np.clip(normal @ light, 0, 1) * 0.85 + 0.15
    return np.where(sample.person, bright * 255, 0).astype(np.uint8)
