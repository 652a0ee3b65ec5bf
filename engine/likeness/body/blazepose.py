"""Google's BlazePose networks without MediaPipe: anchors, decoding, rotated crops and the two network calls.

Only this module knows tensors' layouts. Image points are in pixels with integer pixel centres (x right, y down);
`Region.angle` turns the crop clockwise on the screen, so that a person who lies on one side stands up in the crop.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from likeness.body.weight_files import weight_file
from PIL import Image

DETECTOR_SIDE = 224
LANDMARK_SIDE = 256
LANDMARK_COUNT = 33
# Strides of the detector's feature maps; the three coarsest share one 7 x 7 grid with 6 anchors a cell.
DETECTOR_LAYERS = ((8, 2), (16, 2), (32, 6))
ROI_SCALE = 1.25
HEATMAP_WINDOW = 7
HEATMAP_MIN_CONFIDENCE = 0.5


@dataclass(frozen=True)
class Region:
    """A square, turned window of a picture: centre (2,) px, side px, angle radians (clockwise on the screen)."""

    center: np.ndarray
    side: float
    angle: float = 0.0

    def axes(self) -> np.ndarray:
        """(2, 2) matrix that turns crop directions into image directions."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Crop points (..., 2) in 0..1 to image pixels (..., 2)."""
        return (np.asarray(points, np.float64) - 0.5) * self.side @ self.axes().T + self.center

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Image pixels (..., 2) to crop points (..., 2) in 0..1."""
        return (np.asarray(points, np.float64) - self.center) @ self.axes() / self.side + 0.5


class Picture:
    """A colour picture (H, W, 3) uint8 that hands out turned crops; keeps its reduced copies."""

    def __init__(self, color: np.ndarray) -> None:
        self._levels: dict[int, Image.Image] = {1: Image.fromarray(np.ascontiguousarray(color))}
        self.height, self.width = color.shape[:2]

    def crop(self, region: Region, side: int) -> np.ndarray:
        """The region resampled to (side, side, 3) float32 in 0..1; black outside the picture."""
        # Reducing first keeps bilinear sampling from aliasing when the person is much larger than the crop.
        factor = max(1, int(region.side / side))
        if factor not in self._levels:
            self._levels[factor] = self._levels[1].reduce(factor)
        level = self._levels[factor]
        step = region.axes() * (region.side / side)
        # Pillow's affine map takes corner-based coordinates: a pixel centre lies at + 0.5.
        origin = region.center + 0.5 - step @ np.full(2, side / 2)
        rows = np.column_stack([step, origin]) * np.array([[level.width / self.width], [level.height / self.height]])
        crop = level.transform((side, side), Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR)
        return np.asarray(crop, np.float32) / 255.0


@dataclass(frozen=True)
class Detection:
    """One answer of the detector: score 0..1, box (4,) x0 y0 x1 y1 (face) px, keypoints (4, 2) px."""

    score: float
    box: np.ndarray
    keypoints: np.ndarray


@dataclass(frozen=True)
class PoseAnswer:
    """One answer of the landmark network for a region.

    points (33, 2) px, depth_z (33,) px (smaller is nearer), visibility and presence (33,) 0..1, world (33, 3) m with
    the hips at the origin (x right, y down, z away from the camera), score 0..1, mask (256, 256) logits in the crop,
    `next_region` centred on the body that was found.
    """

    region: Region
    points: np.ndarray
    depth_z: np.ndarray
    visibility: np.ndarray
    presence: np.ndarray
    world: np.ndarray
    score: float
    mask: np.ndarray
    next_region: Region


def anchors() -> np.ndarray:
    """Centres (2254, 2) of the detector's anchors in 0..1; every anchor has size 1."""
    centers = []
    for stride, repeat in DETECTOR_LAYERS:
        cells = (np.arange(DETECTOR_SIDE // stride) + 0.5) * stride / DETECTOR_SIDE
        y, x = np.meshgrid(cells, cells, indexing="ij")
        centers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeat, axis=0))
    return np.concatenate(centers)


def decode(raw: np.ndarray, logits: np.ndarray, region: Region, threshold: float) -> list[Detection]:
    """Detector tensors raw (2254, 12), logits (2254,) to detections over `threshold` after suppression, best first."""
    scores = _sigmoid(logits)
    keep = scores > threshold
    center = anchors()[keep]
    values = raw[keep].reshape(-1, 6, 2) / DETECTOR_SIDE
    middle, extent = values[:, 0] + center, values[:, 1]
    keypoints = region.to_image(values[:, 2:] + center[:, None])
    boxes = np.concatenate([middle - extent / 2, middle + extent / 2], axis=1)
    order = np.argsort(-scores[keep])
    found: list[Detection] = []
    while len(order):
        overlap = _overlap(boxes[order[0]], boxes[order])
        group = order[overlap > 0.3]
        # Averaging the suppressed neighbours steadies the keypoints, as MediaPipe's weighted suppression does.
        weight = scores[keep][group][:, None]
        box = region.to_image((weight * boxes[group]).sum(0).reshape(2, 2) / weight.sum()).ravel()
        points = (weight[:, None] * keypoints[group]).sum(0) / weight.sum()
        found.append(Detection(float(scores[keep][order[0]]), box, points))
        order = order[overlap <= 0.3]
    return found


def region_between(hips: np.ndarray, reach: np.ndarray) -> Region:
    """Region of a person from the middle of the hips (2,) px and a point (2,) px on the circle around the body."""
    along = np.asarray(reach, np.float64) - hips
    angle = np.pi / 2 - np.arctan2(-along[1], along[0])
    angle = float((angle + np.pi) % (2 * np.pi) - np.pi)
    return Region(np.asarray(hips, np.float64), max(2.0 * ROI_SCALE * float(np.hypot(*along)), 4.0), angle)


class Networks:
    """The detector and the landmark network, each with one thread."""

    def __init__(self) -> None:
        self._detector = interpreter("pose_detection.tflite")
        self._landmark = interpreter("pose_landmark_full.tflite")

    def people(self, picture: Picture, region: Region, threshold: float) -> list[Detection]:
        """Detections inside a region of the picture, best first."""
        pixels = picture.crop(region, DETECTOR_SIDE) * 2.0 - 1.0
        boxes, logits = run_network(self._detector, pixels)
        return decode(boxes[0], logits[0, :, 0], region, threshold)

    def pose(self, picture: Picture, region: Region) -> PoseAnswer:
        """Landmarks of the person who fills the region."""
        flat, score, mask, heatmaps, world = run_network(self._landmark, picture.crop(region, LANDMARK_SIDE))
        values = flat.reshape(-1, 5).astype(np.float64)
        crop_points = _refine(values[:, :2] / LANDMARK_SIDE, heatmaps[0])
        points = region.to_image(crop_points)
        flat_world = world.reshape(-1, 3)[:LANDMARK_COUNT].astype(np.float64)
        flat_world[:, :2] = flat_world[:, :2] @ region.axes().T
        return PoseAnswer(
            region=region,
            points=points[:LANDMARK_COUNT].astype(np.float32),
            depth_z=(values[:LANDMARK_COUNT, 2] / LANDMARK_SIDE * region.side).astype(np.float32),
            visibility=_sigmoid(values[:LANDMARK_COUNT, 3]).astype(np.float32),
            presence=_sigmoid(values[:LANDMARK_COUNT, 4]).astype(np.float32),
            world=flat_world.astype(np.float32),
            score=float(score.ravel()[0]),
            mask=mask[0, :, :, 0].copy(),
            next_region=region_between(points[LANDMARK_COUNT], points[LANDMARK_COUNT + 1]),
        )


@functools.cache
def networks() -> Networks:
    """The two networks, loaded once a process."""
    return Networks()


def interpreter(name: str) -> Any:
    """A network of weights/landmarks, ready to run on one thread."""
    # Imported here: the runtime costs 0.3 s and most commands never look for a person.
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(model_content=weight_file("landmarks", name).read_bytes(), num_threads=1)
    loaded.allocate_tensors()
    return loaded


def run_network(network: Any, pixels: np.ndarray) -> list[np.ndarray]:
    """What a network answers to one crop (side, side, 3): its output tensors in the file's order."""
    network.set_tensor(network.get_input_details()[0]["index"], pixels[None].astype(np.float32))
    network.invoke()
    return [network.get_tensor(output["index"]) for output in network.get_output_details()]


def _refine(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Move points (N, 2) in 0..1 to the centre of their heat maps (h, w, N) where those are sure enough."""
    height, width, _ = heatmaps.shape
    refined = points.copy()
    half = HEATMAP_WINDOW // 2
    for index, (x, y) in enumerate(points):
        column, row = int(x * width), int(y * height)
        if not (0 <= column < width and 0 <= row < height):
            continue
        rows = slice(max(row - half, 0), row + half + 1)
        columns = slice(max(column - half, 0), column + half + 1)
        confidence = _sigmoid(heatmaps[rows, columns, index].astype(np.float64))
        if confidence.max() < HEATMAP_MIN_CONFIDENCE:
            continue
        grid_y, grid_x = np.mgrid[
            rows.start : rows.start + confidence.shape[0], columns.start : columns.start + confidence.shape[1]
        ]
        total = confidence.sum()
        refined[index] = (grid_x * confidence).sum() / total / width, (grid_y * confidence).sum() / total / height
    return refined


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with boxes (N, 4)."""
    extent = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.clip(extent, 0.0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0.0).prod(axis=1)
    return common / np.maximum(areas + (box[2:] - box[:2]).clip(0.0).prod() - common, 1e-12)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -80.0, 80.0)))
