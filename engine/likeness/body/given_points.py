"""Keypoints that an artist or another detector gives, in place of BlazePose's or beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.blazepose import Region
from likeness.body.landmarks import MIN_PERSON_SCORE, Landmarks, look_at
from likeness.body.model import BodyModel
from likeness.core.errors import LikenessError
from likeness.core.keypoints import HAND_POINTS, NAMES, Keypoints

#: A given point this share of the body's height away from BlazePose's shows that BlazePose was wrong in depth too.
_ELSEWHERE = 0.06
#: Points of the body that place it: shoulders, elbows, wrists, hips, knees, ankles.
_BODY = [*range(11, 17), *range(23, 29)]
_LEAST = 4
#: From the hips' middle to the feet, in lengths of the trunk.
_REACH = 1.7
_TRUNK = (11, 12, 23, 24)
#: Each point and the one that it hangs on, parents first; the trunk's four hang on the hips' middle.
_CHAIN = (
    (13, 11), (15, 13), (17, 15), (19, 15), (21, 15), (14, 12), (16, 14), (18, 16), (20, 16), (22, 16),
    (25, 23), (27, 25), (29, 27), (31, 27), (26, 24), (28, 26), (30, 28), (32, 28),
)  # fmt: skip
#: Seen from the front of the person: elbows and heels go back, wrists, knees and toes forward.
_BACKWARD = (13, 14, 27, 28, 29, 30)


def with_keypoints(found: Landmarks | None, given: Keypoints, model: BodyModel) -> Landmarks:
    """BlazePose's landmarks with the given points in place of its own; found may be None where it saw nobody.

    Given points have their confidence as visibility. Where one lies elsewhere than BlazePose saw it, its place in space
    is made from the picture and the length of the model's bones, bent as limbs bend. Raises
    LikenessError("keypoints.few") where nobody was found and fewer than four joints of the body are given.
    """
    index = [NAMES.index(name) for name in given.points]
    values = np.array(list(given.points.values()), np.float64).reshape(-1, 3)
    sees = found is not None and found.score >= MIN_PERSON_SCORE
    if not sees and len(set(index) & set(_BODY)) < _LEAST:
        raise LikenessError(
            "keypoints.few",
            f"Nobody was found in the picture, and the keypoints name only {len(set(index) & set(_BODY))} joints.",
            "Give at least shoulders and hips, better elbows, wrists, knees and ankles too.",
        )
    known = nobody() if found is None else found if sees else _unsure(found)
    points, presence = known.points.astype(np.float64).copy(), known.presence.astype(np.float32).copy()
    visibility = known.visibility.astype(np.float32).copy()
    points[index], presence[index], visibility[index] = values[:, :2], 1.0, values[:, 2]
    moved = np.full(33, not sees)
    if sees:
        far = _ELSEWHERE * max(float(np.ptp(known.points, axis=0).max()), 1.0)
        moved[index] = np.linalg.norm(points - known.points, axis=1)[index] > far
    box = np.concatenate([points[presence > 0.5].min(0), points[presence > 0.5].max(0)]).astype(np.float32)
    return Landmarks(
        points=points.astype(np.float32),
        depth_z=known.depth_z,
        visibility=visibility,
        presence=presence,
        world=lifted(points, presence > 0.5, known.world, moved, model),
        score=known.score if sees else 1.0,
        box=box,
        region=known.region,
        mask=known.mask,
        hands=_hands(given),
    )


def _hands(given: Keypoints) -> np.ndarray | None:
    """(2, 21, 3) f64: the given hands' points, confidence 0 where there is none; None without hands."""
    nothing = ((0.0, 0.0, 0.0),) * HAND_POINTS
    sides = [given.hands.get(side, nothing) for side in ("left", "right")]
    return np.array(sides, np.float64) if given.hands else None


def seen_at(color: np.ndarray, given: Keypoints) -> Landmarks | None:
    """What BlazePose sees where the keypoints say that somebody is, in a picture (H, W, 3) u8 where it found nobody.

    None where the keypoints name neither hips nor shoulders.
    """
    points = {NAMES.index(name): np.array(value[:2]) for name, value in given.points.items()}
    hips = [points[p] for p in (23, 24) if p in points]
    shoulders = [points[p] for p in (11, 12) if p in points]
    if not hips or not shoulders:
        return None
    middle, up = np.mean(hips, 0), np.mean(shoulders, 0) - np.mean(hips, 0)
    # The circle that BlazePose was trained on goes through the raised hands or the feet.
    radius = max(float(np.linalg.norm(point - middle)) for point in points.values())
    radius = max(radius, _REACH * float(np.linalg.norm(up)), 8.0)
    return look_at(color, middle, middle + up / max(float(np.linalg.norm(up)), 1e-6) * radius)


def keypoints_of(landmarks: Landmarks, size: tuple[int, int]) -> Keypoints:
    """What a fit saw, in our own layout. size: (width, height) of the picture."""
    trust = (landmarks.visibility * landmarks.presence).clip(0, 1)
    rows = zip(NAMES, landmarks.points, trust, strict=True)
    hands: dict[str, tuple[tuple[float, float, float], ...]] = {}
    for side, hand in zip(("left", "right"), () if landmarks.hands is None else landmarks.hands, strict=False):
        if hand[:, 2].any():
            hands[side] = tuple((float(x), float(y), float(c)) for x, y, c in hand)
    return Keypoints({n: (float(x), float(y), float(c)) for n, (x, y), c in rows if c > 0}, size, hands)


def nobody() -> Landmarks:
    """Landmarks of which none is seen: a fit that starts from a pose can do without."""
    zeros, flat = np.zeros(33, np.float32), np.zeros((33, 2), np.float32)
    return Landmarks(
        flat, zeros, zeros, zeros, np.zeros((33, 3), np.float32), 0.0, np.zeros(4, np.float32),
        Region(np.zeros(2), 1.0), np.full((256, 256), -10.0, np.float32),
    )  # fmt: skip


def _unsure(found: Landmarks) -> Landmarks:
    """Only the window and mask of somebody whom BlazePose does not believe in."""
    return replace(nobody(), region=found.region, mask=found.mask)


def lifted(points: np.ndarray, known: np.ndarray, world: np.ndarray, moved: np.ndarray, model: BodyModel) -> np.ndarray:
    """World points (33, 3) m f32, camera axes, the hips' middle at the origin, in which `moved` (33,) ones are new.

    points (33, 2) px, known (33,) bool: which of them mean anything. A weak perspective camera whose scale shows the
    longest bone at no more than its length; what a bone lacks in the picture it has in depth.
    """
    rest, joints = model.rest(np.zeros(0, np.float32))
    template = model.blazepose_points(rest.astype(np.float64), joints.astype(np.float64))
    out = np.asarray(world, np.float64).copy()
    if not moved.any():
        return out.astype(np.float32)
    scale = _scale(points, known, template)
    facing = _facing(points, known)
    hips = points[[23, 24]].mean(0) if known[[23, 24]].all() else points[known].mean(0)
    for point in np.flatnonzero(moved & known).tolist():
        if point in _TRUNK or point < 11:
            out[point] = [*((points[point] - hips) / scale), out[point, 2] if world.any() else 0.0]
            if point < 11 and not world.any():
                out[point, 2] = facing * (template[point, 2] - template[[11, 12], 2].mean())
    for point, parent in _CHAIN:
        if not (moved[point] and known[point] and known[parent]):
            continue
        flat = (points[point] - points[parent]) / scale
        length = float(np.linalg.norm(template[point] - template[parent]))
        depth = np.sqrt(max(length**2 - float(flat @ flat), 0.0))
        before = world[point, 2] - world[parent, 2]
        sign = np.sign(before) if world.any() and before else facing * (-1 if point in _BACKWARD else 1)
        out[point] = [*(out[parent, :2] + flat), out[parent, 2] + sign * depth]
    return out.astype(np.float32)


def _scale(points: np.ndarray, known: np.ndarray, template: np.ndarray) -> float:
    """Pixels a metre, so that no bone is longer in the picture than it is."""
    bones = [(11, 12), (23, 24), (11, 23), (12, 24), *((p, q) for p, q in _CHAIN if p in _BODY)]
    seen = [(p, q) for p, q in bones if known[p] and known[q]]
    ratios = [float(np.linalg.norm(points[p] - points[q]) / np.linalg.norm(template[p] - template[q])) for p, q in seen]
    # The longest of many is often a slip; two slips are rarer.
    return max(sorted(ratios)[-2 if len(ratios) > 4 else -1], 1e-3) if ratios else 1.0


def _facing(points: np.ndarray, known: np.ndarray) -> float:
    """-1 where the person looks at the camera (left on the picture's right), else 1: the sign of forward along z."""
    sides = [points[p, 0] - points[p + 1, 0] for p in (11, 23) if known[p] and known[p + 1]]
    return -1.0 if sum(sides) >= 0 else 1.0
