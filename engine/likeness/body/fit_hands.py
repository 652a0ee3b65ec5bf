"""The last stage of a fit: wrists and fingers by what is seen of the hands; the rest of the arm stays where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from likeness.body.corrector import turn_to
from likeness.body.fit_observe import Evidence, depth_at
from likeness.body.hand_fit import HandPose, HandTarget, along_root, fit_hand, palm_turn, twist_of, untilted
from likeness.body.hand_landmarks import SAME_HAND, HandReading, read_hands
from likeness.body.hand_skeleton import ELBOWS, WRISTS, HandSkeleton
from likeness.body.landmarks import BACKDROP
from likeness.body.model import BodyModel
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import Fit, sure, usually_off
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.hands import with_joints
from likeness.core.skinning import joint_transforms, posed_joints

SIDES = ("left", "right")
#: Points of the palm, whose distances from one another the fingers do not change.
_PALM = np.array([0, 1, 5, 9, 13, 17])
# Fingertips are seen where the flesh ends, which bends and shade move most.
_SHOWN = np.where(np.isin(np.arange(21), (4, 8, 12, 16, 20)), 0.5, 1.0)
# Depth readings of a hand lie within this of their median; fewer say nothing.
HAND_DEPTH_M, LEAST_READINGS = 0.1, 6
# A hand whose points miss by more than this was misread: shares of the palm's length, median over its points.
WORST_MISS = 0.08
# So many points of a hand somebody has to give; nearer hands are not in front of the camera.
LEAST_GIVEN, NEAREST_M = 6, 0.1
# The wrist takes so much of what forearm and wrist twist together, and neither more than so many radians: half each
# is what skin stands best.
WRIST_SHARE, MOST_TWIST = 0.5, np.radians(80)
# Metres by which a hand's joints usually are off about its wrist: read with depth, in photos, and relaxed (medians of
# benchmarks/fit_hands.py on people of the val split).
READ_OFF_M, READ_IN_PHOTO_OFF_M, RELAXED_OFF_M = 0.02, 0.025, 0.045


@dataclass(frozen=True)
class Arm:
    """What the body's fit says of one arm: camera_from_rest turns (3, 3) of what shoulder, elbow and wrist carry, and
    the wrist's place (3,) in camera space, m."""

    shoulder: np.ndarray
    elbow: np.ndarray
    hand: np.ndarray
    wrist: np.ndarray

    @classmethod
    def of(cls, fit: Fit, model: BodyModel, side: int) -> Arm:
        """The left (0) or right (1) arm of a fit."""
        rest = model.rest(fit.betas)[1].astype(np.float64)
        moves = joint_transforms(rodrigues(np.asarray(fit.pose, np.float64)), rest, model.parents)
        turns, places = moves[:, :3, :3], posed_joints(moves, rest)
        elbow, wrist = ELBOWS[side], WRISTS[side]
        shoulder = int(model.parents[elbow])
        return cls(turns[shoulder], turns[elbow], turns[wrist], places[wrist] + fit.translation)


@dataclass(frozen=True)
class Seen:
    """What is seen of a hand: points (21, 2) px with weights (21,), and world (21, 3) m as HandReading has it, or None
    where nothing is known of depth."""

    points: np.ndarray
    weight: np.ndarray
    world: np.ndarray | None


def with_hands(fit: Fit, model: BodyModel, capture: Capture, evidence: Evidence, *, posed: bool = False) -> Fit:
    """The fit with wrists and fingers as the picture shows them, and its confidence in the hands.

    Hands that are too small, cut off, hidden or misread stay as they are: wrists by the body's points, fingers relaxed.
    posed: the hands are as somebody made them, and stay.
    """
    confidence = dict(fit.confidence)
    read_off = READ_OFF_M if posed or evidence.has_depth else READ_IN_PHOTO_OFF_M
    for side, seen in enumerate((None, None) if posed else seen_hands(capture, evidence)):
        found = None if seen is None else hand_of(fit, model, evidence, seen, side)
        if found is not None:
            fit = replace(fit, pose=posed_hand(fit, model, *found, side))
        off = read_off if posed or found is not None else RELAXED_OFF_M
        arm = usually_off(confidence.get(f"{SIDES[side]}_arm", 0.0))
        confidence[f"{SIDES[side]}_hand"] = sure(float(np.hypot(off, arm)))
    return replace(fit, confidence=confidence)


def seen_hands(capture: Capture, evidence: Evidence) -> list[Seen | None]:
    """The left and the right hand in a picture; points that somebody gave go before what the network sees."""
    color = capture.color
    if capture.mask_source == "alpha":
        color = np.where(capture.mask[..., None], color, np.uint8(BACKDROP))
    found: list[Seen | None] = []
    for side, reading in enumerate(read_hands(color, capture.mask, evidence.uv, evidence.trust)):
        given = None if evidence.hands is None else evidence.hands[side]
        if given is not None and (given[:, 2] > 0).sum() >= LEAST_GIVEN:
            found.append(Seen(given[:, :2], given[:, 2], _world_beside(given, reading)))
        else:
            found.append(None if reading is None else Seen(reading.points, _SHOWN, reading.world))
    return found


def _world_beside(given: np.ndarray, reading: HandReading | None) -> np.ndarray | None:
    """The network's points in space where it sees the given hand (21, 3), too."""
    if reading is None:
        return None
    known = given[:, 2] > 0
    apart = np.linalg.norm(reading.points - given[:, :2], axis=1)[known]
    return reading.world if np.median(apart) < SAME_HAND * reading.size else None


def hand_of(
    fit: Fit, model: BodyModel, evidence: Evidence, seen: Seen, side: int
) -> tuple[HandSkeleton, Arm, HandPose] | None:
    """The pose of a hand, its turn in camera axes; None where what is seen makes no sense on this arm."""
    hand, arm = HandSkeleton.of(model, fit.betas, side), Arm.of(fit, model, side)
    look = facing(fit.camera, np.average(seen.points, axis=0, weights=seen.weight))
    target = target_of(hand, arm, evidence, seen, look)
    if not target.distance > NEAREST_M:
        return None
    if seen.world is None:
        axis = target.forearm @ hand.forearm
        starts = [rodrigues(axis * angle) @ look.T @ arm.hand for angle in np.radians(range(-180, 180, 60))]
    else:
        starts = [palm_turn(hand, np.column_stack([target.across * target.distance, target.along]), target.shown)]
    pose = fit_hand(hand, target, starts)
    if not pose.miss < WORST_MISS * np.linalg.norm(hand.joints[1]):
        return None
    return hand, arm, replace(pose, turn=look @ pose.turn, place=look @ pose.place)


def target_of(hand: HandSkeleton, arm: Arm, evidence: Evidence, seen: Seen, look: np.ndarray) -> HandTarget:
    """What is seen, for a camera that looks at the hand. look (3, 3): camera_from_look."""
    across, distance = _across(evidence.camera, seen.points, look), float(look[:, 2] @ arm.wrist)
    along, root = np.zeros(len(across)), np.zeros((0, len(across)))
    if seen.world is not None:
        scale = _breadth(hand.points(np.broadcast_to(np.eye(3), (15, 3, 3)))) / max(_breadth(seen.world), 1e-6)
        along, root = untilted(across * distance, scale * seen.world[:, 2]), along_root(across * distance)
    return HandTarget(
        across=across,
        along=along,
        shown=seen.weight,
        along_root=root,
        readings=_readings(evidence, seen, look),
        distance=distance,
        forearm=look.T @ arm.elbow,
        twist=float(twist_of(arm.shoulder.T @ arm.elbow, hand.forearm)),
    )


def facing(camera: Camera, pixel: np.ndarray) -> np.ndarray:
    """camera_from_look (3, 3): the shortest turn that makes the camera look along a pixel's (2,) line of sight."""
    return turn_to(_rays(camera, pixel[None])[0])


def posed_hand(fit: Fit, model: BodyModel, hand: HandSkeleton, arm: Arm, found: HandPose, side: int) -> np.ndarray:
    """The fit's pose (J, 3) f32 with this hand; its twist is shared by forearm and wrist."""
    elbow, wrist = shared_twist(arm.shoulder.T @ arm.elbow, arm.elbow.T @ found.turn, hand.forearm)
    count = len(model.parents)
    pose = with_joints(fit.pose, max(count, 52)).copy()
    pose[ELBOWS[side]], pose[WRISTS[side]] = axis_angle(elbow), axis_angle(wrist)
    start = len(pose) - 30 + 15 * side
    pose[start : start + 15] = hand.pose(found.angles)
    return with_joints(pose, count)


def shared_twist(elbow: np.ndarray, wrist: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local turns (3, 3) of elbow and wrist that share the twist about the forearm's axis (3,); the hand's direction
    stays, its twist too unless it is more than both may take."""
    inner, outer = float(twist_of(elbow, axis)), float(twist_of(wrist, axis))
    whole = np.clip(inner + outer, -2 * MOST_TWIST, 2 * MOST_TWIST)
    share = np.clip(WRIST_SHARE * whole, -MOST_TWIST, MOST_TWIST)
    return elbow @ rodrigues(axis * (whole - share - inner)), rodrigues(axis * (share - outer)) @ wrist


def _breadth(points: np.ndarray) -> float:
    """Root of the summed squared distances between the palm's points (21, 3)."""
    palm = points[_PALM] - points[_PALM].mean(axis=0)
    return float(np.sqrt((palm**2).sum()))


def _rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Lines of sight (N, 3) of pixels (N, 2), z = 1."""
    return np.column_stack(
        [(pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy, np.ones(len(pixels))]
    )


def _across(camera: Camera, pixels: np.ndarray, look: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) -> x / z and y / z (N, 2) in the looking camera's axes."""
    turned = _rays(camera, pixels) @ look
    return np.asarray(turned[:, :2] / turned[:, 2:])


def _readings(evidence: Evidence, hand: Seen, look: np.ndarray) -> np.ndarray:
    """Depth (21,) m of the skin at the hand's points along the looking camera's axis, 0 where it is not reliable."""
    if evidence.depth is None:
        return np.zeros(len(hand.points))
    depth = depth_at(evidence.depth, hand.points).astype(np.float64)
    seen = (depth > 0) & (hand.weight > 0)
    seen[seen] = np.abs(depth[seen] - np.median(depth[seen])) < HAND_DEPTH_M
    if seen.sum() < LEAST_READINGS:
        return np.zeros(len(hand.points))
    return np.where(seen, depth * (_rays(evidence.camera, hand.points) @ look[:, 2]), 0.0)
