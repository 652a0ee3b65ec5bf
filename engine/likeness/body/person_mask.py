"""A soft outline of one person at the photograph's resolution.

BlazePose's own mask is 256 pixels wide and soft. It decides what is surely the person and surely not; in the band
between, colour decides: two local colour models, neighbours that look alike stay together (a random walker with
priors, one sparse linear system), and a guided filter carries the edge to the photograph's own pixels.
"""

from __future__ import annotations

import warnings

import numpy as np
from likeness.body.landmarks import Landmarks, over_grey
from PIL import Image
from scipy import ndimage, sparse
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import cg

WORK_SIDE = 384
COLOR_CLUSTERS = 6
SMOOTHNESS = 12.0


def person_mask(color: np.ndarray, landmarks: Landmarks) -> np.ndarray:
    """How much each pixel of a picture (H, W, 3 or 4) uint8 belongs to the person: (H, W) float32 in 0..1."""
    rgb = over_grey(color)
    height, width = rgb.shape[:2]
    left, top, right, bottom = _window(landmarks, width, height)
    window = rgb[top:bottom, left:right]
    scale = min(1.0, WORK_SIDE / max(window.shape[:2]))
    size = (max(8, round(window.shape[1] * scale)), max(8, round(window.shape[0] * scale)))
    small = np.asarray(Image.fromarray(window).resize(size, Image.Resampling.BOX), np.float32) / 255.0
    logits = _logits_at(landmarks, left, top, window.shape[1] / size[0], window.shape[0] / size[1], size)
    soft = _walk(small, logits)
    fine = _guided(window, soft)
    result = np.zeros((height, width), np.float32)
    result[top:bottom, left:right] = fine
    return result


def _window(landmarks: Landmarks, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of the picture that the landmark crop covers, cut to where its mask is not empty."""
    rows, columns = np.nonzero(landmarks.mask > -2.0)
    if len(rows) == 0:
        rows, columns = np.array([0, 255]), np.array([0, 255])
    corners = np.array([[x, y] for x in (columns.min(), columns.max() + 1) for y in (rows.min(), rows.max() + 1)])
    points = landmarks.region.to_image(corners / landmarks.mask.shape[0])
    margin = 0.04 * landmarks.region.side
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    left, top = int(np.clip(low[0], 0, width - 9)), int(np.clip(low[1], 0, height - 9))
    right, bottom = int(np.clip(high[0] + 1, left + 8, width)), int(np.clip(high[1] + 1, top + 8, height))
    return left, top, right, bottom


def _logits_at(
    landmarks: Landmarks, left: int, top: int, step_x: float, step_y: float, size: tuple[int, int]
) -> np.ndarray:
    """The network's mask (logits) resampled to a window of the picture: (rows, columns) float32."""
    x = left + (np.arange(size[0]) + 0.5) * step_x - 0.5
    y = top + (np.arange(size[1]) + 0.5) * step_y - 0.5
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    crop = landmarks.region.to_crop(grid) * landmarks.mask.shape[0] - 0.5
    return ndimage.map_coordinates(
        landmarks.mask, [crop[..., 1], crop[..., 0]], order=1, mode="constant", cval=-20.0
    ).astype(np.float32)


def _walk(rgb: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Probability of the person (rows, columns) from the network's logits and the colours (rows, columns, 3)."""
    prior = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))
    inner = ndimage.binary_erosion(prior > 0.9, iterations=3, border_value=1)
    outer = ndimage.binary_erosion(prior < 0.1, iterations=5, border_value=1)
    if inner.sum() < 50 or outer.sum() < 50:
        return prior
    near = ndimage.binary_dilation(~outer, iterations=30)
    evidence = _log_density(rgb, inner) - _log_density(rgb, outer & near)
    unary = 1.0 / (1.0 + np.exp(-np.clip(0.6 * logits + 0.8 * np.clip(evidence, -4, 4), -30, 30)))
    target = np.where(inner, 1.0, np.where(outer, 0.0, unary))
    return _solve(rgb, target, np.where(inner | outer, 50.0, 0.6), prior)


def _log_density(rgb: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Log density (rows, columns) of colours under a mixture fitted to the pixels `where`."""
    samples = rgb[where].astype(np.float64)
    samples = samples[:: max(1, len(samples) // 4000)]
    # A plain backdrop has fewer colours than clusters: a trace of noise keeps them apart, empty ones are skipped.
    rng = np.random.default_rng(0)
    samples = samples + rng.normal(0.0, 1e-3, samples.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        centers, labels = kmeans2(samples, COLOR_CLUSTERS, minit="++", rng=rng)
    flat = rgb.reshape(-1, 3).astype(np.float64)
    densities = []
    for index in range(COLOR_CLUSTERS):
        members = samples[labels == index]
        if len(members) < 8:
            continue
        spread = np.cov(members.T) + 4e-4 * np.eye(3)
        offset = flat - centers[index]
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(spread), offset)
        densities.append(np.log(len(members) / len(samples)) - 0.5 * distance - 0.5 * np.linalg.slogdet(spread)[1])
    return np.logaddexp.reduce(densities, axis=0).reshape(rgb.shape[:2])


def _solve(rgb: np.ndarray, target: np.ndarray, trust: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Minimise sum trust (x - target)^2 + sum over neighbours affinity (x_i - x_j)^2; all (rows, columns)."""
    rows, columns = target.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    pairs, weights = [], []
    contrast = np.mean([np.square(np.diff(rgb, axis=axis)).sum(-1).mean() for axis in (0, 1)]) + 1e-6
    for axis in (0, 1):
        first = index[:-1] if axis == 0 else index[:, :-1]
        second = index[1:] if axis == 0 else index[:, 1:]
        jump = np.square(np.diff(rgb, axis=axis)).sum(-1)
        pairs.append(np.stack([first.ravel(), second.ravel()]))
        weights.append(SMOOTHNESS * np.exp(-jump.ravel() / (2 * contrast)) + 0.05)
    (i, j), weight = np.concatenate(pairs, axis=1), np.concatenate(weights)
    affinity = sparse.coo_array((weight, (i, j)), shape=(index.size, index.size)).tocsr()
    affinity = affinity + affinity.T
    diagonal = np.asarray(affinity.sum(axis=1)).ravel() + trust.ravel()
    system = sparse.diags_array(diagonal) - affinity
    precondition = sparse.diags_array(1.0 / diagonal)
    solution, _ = cg(system, (trust * target).ravel(), x0=start.ravel(), rtol=1e-3, maxiter=150, M=precondition)
    return np.clip(solution.reshape(rows, columns), 0.0, 1.0)


def _guided(window: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Carry a small soft mask to the window's (rows, columns, 3) uint8 resolution along its edges."""
    rows, columns = window.shape[:2]
    enlarged = Image.fromarray(soft.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    mask = np.asarray(enlarged, np.float32)
    if rows == soft.shape[0] and columns == soft.shape[1]:
        radius = 2
    else:
        radius = max(2, round(1.5 * rows / soft.shape[0]))
    guide = window.astype(np.float32) / 255.0
    size = 2 * radius + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, size=size, mode="nearest")

    # One grey guide keeps this linear in time and memory at photo size.
    grey = guide @ np.array([0.35, 0.4, 0.25], np.float32)
    grey_mean, mask_mean = mean(grey), mean(mask)
    variance = mean(grey * grey) - grey_mean**2
    slope = (mean(grey * mask) - grey_mean * mask_mean) / (variance + 1e-4)
    offset = mask_mean - slope * grey_mean
    refined = mean(slope) * grey + mean(offset)
    # A steeper ramp than the filter's: edges of people are about a pixel wide.
    return np.clip((refined - 0.5) * 1.8 + 0.5, 0.0, 1.0).astype(np.float32)
