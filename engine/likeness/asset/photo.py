"""What the captured picture can be trusted to show of the surface, and what it suggests beside that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from ..core.camera import Camera
from ..core.capture import Capture
from ..core.errors import LikenessError
from .limbs import REGIONS
from .rays import RayScene
from .texture import bilinear, pull_push

_JUMP_M = 0.03
_DISAGREE_M = 0.035
_MISFIT_M = 0.015
_ENOUGH_PX = 30
_ALIKE = 0.6
_SOME_SKIN = 0.1
_SKIN_HUE = 0.04
_LAYER_HEIGHT_PX = 400
_MEDIAN_SHARE = 0.03
_FACING_LOW, _FACING_HIGH = 0.10, 0.32
_AWAY_LOW, _AWAY_HIGH = -0.05, 0.25
_SKIN_DEEP_M = 0.012
_BEYOND_M = 20.0


@dataclass(frozen=True)
class Photo:
    """The capture's picture as the baker uses it.

    color (H, W, 3) u8, mask (H, W) bool; within `rim` pixels of the mask's outline nothing is believed.
    distance: metres to the person.
    trust (H, W) f32 0..1: the pixel shows the person's surface where the mesh says so, and no background or other limb.
    layers (R, h, w, 3) f32: per region (limbs.REGIONS) the picture without small detail, carried on beyond the
    region's outline; layer_camera is theirs.
    face (H, W) i32 and barycentric (H, W, 3): the mesh's point in each pixel.
    """

    color: np.ndarray
    mask: np.ndarray
    rim: float
    distance: float
    trust: np.ndarray
    layers: np.ndarray
    layer_camera: Camera
    face: np.ndarray
    barycentric: np.ndarray
    scene: RayScene
    camera: Camera

    def visibility(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 3) surface points and unit normals -> (N,) f32 0..1: how well the picture shows them."""
        distance = np.linalg.norm(points, axis=1)
        toward = -points / np.maximum(distance, 1e-9)[:, None]
        facing = np.einsum("nk,nk->n", normals, toward)
        out = ramp(facing, _FACING_LOW, _FACING_HIGH)
        pixels = self.camera.project(points)
        last = np.array([self.camera.width - 1, self.camera.height - 1])
        inside = ((pixels >= 0) & (pixels <= last)).all(1)
        rows = np.nonzero(inside & (out > 0) & (points[:, 2] > 1e-3))[0]
        trust = bilinear(self.trust[..., None], pixels[rows])[:, 0]
        # Lids draped over eyeballs and folds of a millimetre hide nothing: only what lies well before a point does.
        start = points[rows] + normals[rows] * 0.003 + toward[rows] * _SKIN_DEEP_M
        hidden = self.scene.blocked(start, toward[rows], distance[rows] * 0.98 - _SKIN_DEEP_M)
        kept = np.zeros(len(points), np.float32)
        kept[rows] = out[rows] * trust * ~hidden
        return kept

    def last(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 3) surface points and unit normals -> (N,) f32 0..1: how far they look away with nothing behind them."""
        distance = np.linalg.norm(points, axis=1)
        away = points / np.maximum(distance, 1e-9)[:, None]
        out = ramp(np.einsum("nk,nk->n", normals, away), _AWAY_LOW, _AWAY_HIGH)
        rows = np.nonzero(out > 0)[0]
        start = points[rows] + normals[rows] * 0.003 + away[rows] * _SKIN_DEEP_M
        out[rows] *= ~self.scene.blocked(start, away[rows], np.full(len(rows), _BEYOND_M))
        return out

    def colours(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points in camera space -> (N, 3) f32 sRGB 0..255 of the picture there."""
        return bilinear(self.color, self.camera.project(points))

    def suggestion(self, points: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Colours without detail for points (N, 3) that belong to the regions by (N, R) weights -> (N, 3) f32 0..255.

        The far side of a limb takes what the picture shows at the same place of the same limb.
        """
        pixels = self.layer_camera.project(points)
        out = np.zeros((len(points), 3), np.float32)
        for region in range(len(REGIONS)):
            rows = np.nonzero(regions[:, region] > 1e-3)[0]
            if len(rows):
                out[rows] += regions[rows, region : region + 1] * bilinear(self.layers[region], pixels[rows])
        return out / np.maximum(regions.sum(1, keepdims=True), 1e-6)


def read_photo(
    capture: Capture, vertices: np.ndarray, faces: np.ndarray, regions: np.ndarray, cheeks: np.ndarray
) -> Photo:
    """capture; the captured surface in its camera space; (V, R) region weights and (V,) cheeks of its vertices.

    Raises LikenessError("body.out_of_picture") when the picture shows nothing of the surface.
    """
    scene = RayScene(vertices, faces)
    face, hits = scene.view(capture.camera)
    covered = face >= 0
    if not (covered & capture.mask).any():
        raise LikenessError(
            "body.out_of_picture",
            f"{capture.name}: the fitted body does not lie on the person in the picture.",
            "Fit the body again, or pass another fit with --body.",
        )
    depth = np.where(covered, hits.distance.reshape(face.shape), 0).astype(np.float32)
    rim = _rim(capture.mask)
    trust = _trust(capture, covered, depth, rim)
    face_region = regions[faces].sum(1).argmax(1)
    region = np.where(covered, face_region[np.maximum(face, 0)], -1)
    layers, layer_camera = _layers(capture, trust, region)
    skin = covered & (trust > 0.5) & (cheeks[faces].min(1)[np.maximum(face, 0)] > 0.5)
    if skin.sum() >= _ENOUGH_PX:
        # Hair and beard before the cheeks are mostly darker than skin: the brighter half decides.
        bright = capture.color[skin].astype(np.float32)
        tone = np.median(bright[bright.sum(1) >= np.median(bright.sum(1))], axis=0)
        doubtful = _cloth_on_hands(capture.color, trust, region, tone, layers, layer_camera, capture.camera)
        if doubtful.any():
            trust = np.where(doubtful, 0, trust).astype(np.float32)
            layers, layer_camera = _layers(capture, trust, region)
    barycentric = hits.barycentric.reshape(*face.shape, 3)
    distance = float(np.median(vertices[:, 2]))
    return Photo(
        color=capture.color,
        mask=capture.mask,
        rim=rim,
        distance=distance,
        trust=trust,
        layers=layers,
        layer_camera=layer_camera,
        face=face,
        barycentric=barycentric,
        scene=scene,
        camera=capture.camera,
    )


def _cloth_on_hands(
    color: np.ndarray,
    trust: np.ndarray,
    region: np.ndarray,
    skin: np.ndarray,
    layers: np.ndarray,
    layer_camera: Camera,
    camera: Camera,
) -> np.ndarray:
    """(H, W) bool: pixels where the mesh has a hand and the picture the cloth beside it.

    A fitted hand on a hip misses the real one by a finger's width. A hand that shows no skin (3,) at all is left as it
    is: it wears a glove or is in a pocket, and then the picture is right.
    """
    out = np.zeros(region.shape, bool)
    for name in ("left_hand", "right_hand"):
        rows, columns = np.nonzero((region == REGIONS.index(name)) & (trust > 0))
        if not len(rows):
            continue
        colour = color[rows, columns].astype(np.float32)
        # The same place in the small pictures of what may lie behind a hand.
        rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(len(rows))], 1)
        pixels = layer_camera.project(rays)
        near = [bilinear(layers[REGIONS.index(n)], pixels) for n in ("torso", "left_leg", "right_leg")]
        cloth = np.min([np.linalg.norm(colour - other, axis=1) for other in near], axis=0)
        bare = np.linalg.norm(colour - skin, axis=1)
        # Cuffs and pockets may be as bright as skin, but hardly of its hue.
        hue = np.linalg.norm(_chroma(colour) - _chroma(skin), axis=1)
        if ((bare < _ALIKE * cloth) & (hue < _SKIN_HUE)).mean() > _SOME_SKIN:
            unlike = cloth < _ALIKE * bare
            out[rows[unlike], columns[unlike]] = True
    return out


def _chroma(colour: np.ndarray) -> np.ndarray:
    """(..., 3) colours -> their shares of red, green and blue, without brightness."""
    return colour / np.maximum(colour.sum(-1, keepdims=True), 1.0)


def _rim(mask: np.ndarray) -> float:
    """Pixels at the outline that may be mixed with the background, or beside an imprecise mask."""
    rows = np.nonzero(mask.any(1))[0]
    height = rows[-1] - rows[0] + 1 if len(rows) else 1
    return float(np.clip(0.0025 * height, 1.0, 5.0))


def _trust(capture: Capture, covered: np.ndarray, depth: np.ndarray, rim: float) -> np.ndarray:
    """(H, W) f32: 0 near the outlines of the mask and of limbs before other limbs, 1 inside."""
    solid = capture.mask & ~_jumps(depth, covered)[0]
    if capture.depth is not None:
        measured = capture.depth > 0
        solid &= ~_jumps(capture.depth, measured & capture.mask)[0]
        solid &= ~(measured & covered & (np.abs(capture.depth - depth) > _DISAGREE_M))
    # The picture's border counts as outline: beyond it nothing is known.
    inner = ndimage.distance_transform_edt(np.pad(solid, 1))[1:-1, 1:-1]
    return ramp(inner, rim, 1.6 * rim + 0.5) * _behind_limbs(capture, covered, depth)


def _behind_limbs(capture: Capture, covered: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(H, W) f32: 0 on what lies close behind a limb's outline, where the limb itself may be seen instead.

    A fitted hand is off by a centimetre or two: beside it the mesh says shirt and the picture still shows fingers.
    """
    far = _jumps(depth, covered)[1]
    if not far.any():
        return np.ones(depth.shape, np.float32)
    away, nearest = ndimage.distance_transform_edt(~far, return_indices=True)
    same_layer = depth > depth[nearest[0], nearest[1]] - _JUMP_M
    reach = _MISFIT_M * capture.camera.fx / max(float(np.median(depth[covered])), 1e-3)
    return np.where(covered & same_layer, ramp(away, reach, 1.5 * reach + 1), 1.0).astype(np.float32)


def _jumps(depth: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool each: valid pixels beside a much nearer or farther valid neighbour; the farther ones of them."""
    either = np.zeros(depth.shape, bool)
    farther = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        before, after = tuple(first), tuple(second)
        step = np.where(valid[after] & valid[before], depth[after] - depth[before], 0)
        either[before] |= np.abs(step) > _JUMP_M
        either[after] |= np.abs(step) > _JUMP_M
        farther[after] |= step > _JUMP_M
        farther[before] |= step < -_JUMP_M
    return either, farther


def _layers(capture: Capture, trust: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, Camera]:
    """Per region its trusted pixels, filled outwards, small detail removed; and the camera of these small pictures."""
    rows, columns = np.nonzero(capture.mask.any(1))[0], np.nonzero(capture.mask.any(0))[0]
    top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, capture.camera.height)
    left, right = (columns[0], columns[-1] + 1) if len(columns) else (0, capture.camera.width)
    part = np.s_[top:bottom, left:right]
    color, trust, region = capture.color[part], trust[part], region[part]
    tall = max(bottom - top, right - left)
    scale = min(1.0, _LAYER_HEIGHT_PX / tall)
    size = (max(8, round((right - left) * scale)), max(8, round((bottom - top) * scale)))
    camera = capture.camera.cropped(int(left), int(top), int(right - left), int(bottom - top)).scaled(*size)
    window = max(3, round(_MEDIAN_SHARE * tall * scale) // 2 * 2 + 1)
    layers = np.zeros((len(REGIONS), camera.height, camera.width, 3), np.float32)
    everything = _reduced(color, trust * (region >= 0), size)
    for index in range(len(REGIONS)):
        weight = trust * (region == index)
        filled = _reduced(color, weight, size) if weight.any() else everything
        image = Image.fromarray(np.clip(filled + 0.5, 0, 255).astype(np.uint8))
        calm = np.asarray(image.filter(ImageFilter.MedianFilter(window)), np.float32)
        layers[index] = ndimage.gaussian_filter(calm, (1.5, 1.5, 0))
    return layers, camera


def _reduced(color: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Weighted reduction of the picture to (width, height), filled where it has no weight."""
    planes = [weight, *(color[..., c] * weight for c in range(3))]
    small, *parts = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BOX)) for plane in planes
    ]
    image = np.stack(parts, -1) / np.maximum(small, 1e-6)[..., None]
    known = small > 0.3 if (small > 0.3).any() else small > 0
    return pull_push(image, known.astype(np.float32))


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smoothstep from 0 at `low` to 1 at `high`, f32."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)
