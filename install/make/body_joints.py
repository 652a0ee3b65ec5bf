"""SMPL's joints for the default body: merging the Mixamo rig, the T pose, body parts and landmarks.

The body is made with SMPL-H's 52 joints (fingers). What concerns all fingers of a hand alike (smooth weights, the T
pose, body parts) is done in SMPL's 24, where `left_hand` stands for the left fingers.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

SMPL_NAMES = [
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
]  # fmt: skip
SMPL_PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
SMPLH_NAMES = SMPL_NAMES[:22] + [f"{s}_{f}{k}" for s in ("left", "right") for f in FINGERS for k in (1, 2, 3)]
SMPLH_PARENTS = np.array(
    [*SMPL_PARENTS[:22], *((j - 1 if (j - 22) % 3 else 20 if j < 37 else 21) for j in range(22, 52))]
)
#: The joint of SMPL's 24 that stands for each of the 52.
SMPL_OF_SMPLH = np.array([*range(22), *[22] * 15, *[23] * 15])
#: SMPL's hand joints lie at the middle finger's knuckle.
SMPLH_OF_SMPL = np.array([*range(22), SMPLH_NAMES.index("left_middle1"), SMPLH_NAMES.index("right_middle1")])
_MIXAMO = {
    "Hips": 0, "Spine": 3, "Spine1": 6, "Spine2": 9, "Neck": 12, "Head": 15,
    "UpLeg": 1, "Leg": 4, "Foot": 7, "ToeBase": 10, "Shoulder": 13, "Arm": 16, "ForeArm": 18, "Hand": 20,
}  # fmt: skip
#: Rounds of averaging with the neighbours, for the skin weights.
SMOOTHING = 8
#: Rounds of averaging between the fingers' bones; fingers are narrow. The longer one fills in where the first is 0.
FINGER_SMOOTHING = (3, 12)

PART_NAMES = [
    "head", "neck", "torso", "left_upper_arm", "left_forearm", "left_hand", "right_upper_arm", "right_forearm",
    "right_hand", "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
]  # fmt: skip
_PART_OF_JOINT = np.array([2, 9, 12, 2, 10, 13, 2, 11, 14, 2, 11, 14, 1, 2, 2, 0, 3, 6, 4, 7, 5, 8, 5, 8])

#: BlazePose's 33 points, in its order: a joint of SMPL's or the name of a landmark.
BLAZEPOSE: tuple[int | str, ...] = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "left_mouth", "right_mouth", 16, 17, 18, 19, 20, 21, "left_pinky", "right_pinky",
    "left_index", "right_index", "left_thumb", "right_thumb", 1, 2, 4, 5, 7, 8, "left_heel", "right_heel",
    "left_big_toe", "right_big_toe",
)  # fmt: skip

#: Where BlazePose's points lie off our joints, as (joint it leans to, share of the way), measured on 70 renders of the
#: body with CC0 skins: its knees are 1.5 cm and its ankles 3 cm higher, its hips 1 cm further in.
BLAZEPOSE_LEAN = {
    11: (13, 0.04), 12: (14, 0.04), 23: (0, 0.14), 24: (0, 0.14),
    25: (1, 0.035), 26: (2, 0.035), 27: (4, 0.07), 28: (5, 0.07),
}  # fmt: skip


def joint_mirror(names: list[str] = SMPL_NAMES) -> np.ndarray:
    """(J,) permutation that swaps left and right."""
    swapped = [n.replace("left", "*").replace("right", "left").replace("*", "right") for n in names]
    return np.array([names.index(n) for n in swapped])


def smplh_joint(bone: str) -> int:
    """The SMPL-H joint that a Mixamo bone is (`mixamorig:LeftHandIndex2` -> left_index2)."""
    name = bone.split(":")[-1]
    side = "Right" if name.startswith("Right") else "Left"
    name = name.removeprefix(side)
    if name in _MIXAMO:
        joint = _MIXAMO[name]
        return joint + 1 if side == "Right" else joint
    finger = f"{side}_{name.removeprefix('Hand')}".lower()
    if finger not in SMPLH_NAMES:
        raise ValueError(f"unknown bone {bone}")
    return SMPLH_NAMES.index(finger)


def merge_rig(bones: list[str], heads: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mixamo's bones (B names, (..., B, 3) heads, (V, B) weights) -> ((..., 52, 3) joints, (V, 52) weights)."""
    target = np.array([smplh_joint(b) for b in bones])
    if sorted(target) != list(range(len(SMPLH_NAMES))):
        raise ValueError("the rig's bones are not SMPL-H's joints one to one")
    merged, joints = np.zeros((len(weights), len(target))), np.zeros((*heads.shape[:-2], len(target), 3))
    merged[:, target] = weights
    joints[..., target, :] = heads
    return joints, merged


def folded(weights: np.ndarray) -> np.ndarray:
    """(V, 52) weights -> (V, 24): the fingers' go to SMPL's hand joints."""
    out = np.zeros((len(weights), len(SMPL_NAMES)))
    np.add.at(out.T, SMPL_OF_SMPLH, weights.T)
    return out


def symmetric(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Points (..., N, 3) made mirror symmetric across x = 0 by averaging with their image."""
    return (points + points[..., mirror, :] * [-1, 1, 1]) / 2


def tidy_weights(
    weights: np.ndarray, points: np.ndarray, faces: np.ndarray, mirror: np.ndarray, count: int = 4
) -> np.ndarray:
    """The rig's painted weights (V, 24) -> smooth, symmetric, at most `count` a vertex, rows sum to 1.

    points: (V, 3) A pose, metres. The painted weights stray to the limb on the other side, let the upper arm pull at
    the neck, and change too fast at shoulders and elbows (creases in the T pose, a hard ridge on a raised arm).
    """
    swap = joint_mirror()
    weights = weights.copy()
    for joint, name in enumerate(SMPL_NAMES):
        # Only hips and collars may reach across the middle.
        if name.startswith(("left", "right")) and not name.endswith(("hip", "collar")):
            weights[(points[:, 0] < 0) if name.startswith("left") else (points[:, 0] > 0), joint] = 0
    reach = np.clip((np.abs(points[:, 0]) - 0.06) / 0.07, 0, 1)
    reach = reach * reach * (3 - 2 * reach)
    for shoulder, collar in ((16, 13), (17, 14)):
        weights[:, collar] += weights[:, shoulder] * (1 - reach)
        weights[:, shoulder] *= reach
    around = _neighbours(faces, len(points))
    for _ in range(SMOOTHING):
        weights = (weights + around @ weights) / 2
    weights = weights + weights[mirror][:, swap]
    weights /= weights.sum(1, keepdims=True)
    # Lowering all by the first one that has to go keeps the weights continuous over the surface; cutting would not.
    cut = np.sort(weights, 1)[:, -count - 1][:, None]
    weights = np.maximum(weights - np.maximum(cut, 1e-3), 0)
    return weights / weights.sum(1, keepdims=True)


def finger_weights(
    painted: np.ndarray, smooth: np.ndarray, faces: np.ndarray, mirror: np.ndarray, count: int = 4
) -> np.ndarray:
    """Share the hands' weights of `tidy_weights` out to the fingers.

    painted: (V, 52), the rig's. smooth: (V, 24), tidy. Returns (V, 52), symmetric, rows sum to 1, at most `count`
    joints a vertex; folded, it is `smooth` again.
    """
    swap, around = joint_mirror(SMPLH_NAMES), _neighbours(faces, len(smooth))
    out = np.zeros((len(smooth), len(SMPLH_NAMES)))
    out[:, :22] = smooth[:, :22]
    room = np.maximum(count - (smooth[:, :22] > 0).sum(1), 1)
    for hand, fingers in ((22, slice(22, 37)), (23, slice(37, 52))):
        near = far = painted[:, fingers]
        for step in range(max(FINGER_SMOOTHING)):
            far = (far + around @ far) / 2
            near = far if step < min(FINGER_SMOOTHING) else near
        out[:, fingers] = near + 1e-3 * far
        out[:, fingers] *= (smooth[:, hand] > 0)[:, None]
    out[:, 22:] = (out + out[mirror][:, swap])[:, 22:]
    for hand, fingers in ((22, slice(22, 37)), (23, slice(37, 52))):
        ranked = np.sort(out[:, fingers], 1)[:, ::-1]
        cut = np.maximum(np.take_along_axis(ranked, room[:, None], 1), 1e-3 * ranked[:, :1])
        kept = np.maximum(out[:, fingers] - cut, 0)
        # Where two bones tie for the last place, the row would be empty; the first one takes it all.
        kept[:, :1] = np.where((kept.sum(1) == 0)[:, None], 1.0, kept[:, :1])
        out[:, fingers] = smooth[:, hand, None] * kept / kept.sum(1, keepdims=True)
    return out


def _neighbours(faces: np.ndarray, count: int) -> csr_matrix:
    """(V, V) averaging over the vertices that share an edge."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    graph = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph = ((graph + graph.T) > 0).astype(np.float64)
    return csr_matrix(diags(1 / np.asarray(graph.sum(1)).ravel()) @ graph)


def _turn(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes one direction (3,) to another."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def _about(axis: np.ndarray, angle: float) -> np.ndarray:
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def t_pose_turns(joints: np.ndarray, palm: np.ndarray, toe: np.ndarray) -> np.ndarray:
    """World rotations (24, 3, 3) of every joint from MakeHuman's A pose to the T pose.

    joints: (24, 3). palm: (3,) direction out of the left palm. toe: (3,) from the left heel to the toes. The body is
    symmetric, so the right side is the mirror image.
    """
    turns = np.tile(np.eye(3), (24, 1, 1))
    along = np.array([1.0, 0, 0])
    down = np.array([0, -1.0, 0])
    for joint, child in ((16, 18), (18, 20), (20, 22)):
        turns[joint] = _turn(joints[child] - joints[joint], along)
    facing = turns[20] @ palm
    roll = np.arctan2(facing[2], -facing[1])
    # The wrist's roll is shared by the forearm's two bones in a real arm; half of it stays in the hand.
    turns[20] = _about(along, roll) @ turns[20]
    turns[18] = _about(along, roll / 2) @ turns[18]
    turns[22] = turns[20]
    for joint, child in ((1, 4), (4, 7)):
        turns[joint] = _turn(joints[child] - joints[joint], down)
    turns[7] = turns[10] = _about(np.array([0, 1.0, 0]), -np.arctan2(toe[0], toe[2]))
    flip = np.diag([-1.0, 1, 1])
    for left, right in enumerate(joint_mirror()):
        if right > left:
            turns[right] = flip @ turns[left] @ flip
    return turns


def to_t_pose(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, turns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A body in the A pose -> its T pose, pelvis at the origin.

    The T pose is made so that skinning it back to the A pose gives the A pose exactly (the inverse of the blended
    transforms), because people are captured with their arms down far more often than spread.
    """
    target = np.zeros_like(joints)
    for joint in range(1, 24):
        parent = SMPL_PARENTS[joint]
        target[joint] = target[parent] + turns[parent] @ (joints[joint] - joints[parent])
    back = np.swapaxes(turns, 1, 2)
    offset = joints - np.einsum("jab,jb->ja", back, target)
    blended = np.einsum("vj,jab->vab", weights, back)
    shift = weights @ offset
    return np.linalg.solve(blended, (vertices - shift)[..., None])[..., 0], target


def settle_joints(joints: np.ndarray) -> np.ndarray:
    """Move knees and elbows of the T pose along their limb to where the skin bends: (24, ...) -> (24, ...).

    The rig has the knee 4 cm above the middle of the kneecap and the elbow 1.5 cm too far out, while its own weights
    pass from one bone to the next at the right places.
    """
    moved = joints.copy()
    for joint, towards, share in ((4, 7, 0.085), (5, 8, 0.085), (18, 16, 0.06), (19, 17, 0.06)):
        moved[joint] += share * (joints[towards] - joints[joint])
    return moved


def parts_of(weights: np.ndarray) -> np.ndarray:
    """(V, 24) weights -> (V,) u8 index into PART_NAMES, by the part with the most weight."""
    total = np.zeros((len(weights), len(PART_NAMES)))
    np.add.at(total.T, _PART_OF_JOINT, weights.T)
    return total.argmax(1).astype(np.uint8)


def _nearest(vertices: np.ndarray, among: np.ndarray, point: np.ndarray) -> int:
    return int(among[np.linalg.norm(vertices[among] - point, axis=1).argmin()])


def left_landmarks(vertices: np.ndarray, parts: np.ndarray, markers: dict[str, np.ndarray]) -> dict[str, int]:
    """Vertices of the left side's landmarks on the unposed outer skin.

    vertices: (V, 3) A pose. markers: positions (3,) of the base mesh's joint cubes, by name.
    """
    hand = np.flatnonzero(parts == PART_NAMES.index("left_hand"))
    foot = np.flatnonzero(parts == PART_NAMES.index("left_foot"))
    head = np.flatnonzero(parts == PART_NAMES.index("head"))
    found: dict[str, int] = {}
    for name, finger in (("thumb", 1), ("index", 2), ("middle", 3), ("ring", 4), ("pinky", 5)):
        found[f"left_{name}_tip"] = _nearest(vertices, hand, markers[f"joint-l-finger-{finger}-4"])
        knuckle = markers[f"joint-l-finger-{finger}-{2 if finger == 1 else 1}"]
        found[f"left_{name}"] = _nearest(vertices, hand, knuckle)
    found["left_big_toe"] = _nearest(vertices, foot, markers["joint-l-toe-1-3"])
    found["left_small_toe"] = _nearest(vertices, foot, markers["joint-l-toe-5-4"])
    back = vertices[foot[np.argmin(vertices[foot, 2] + 0.3 * vertices[foot, 1])]]
    # The detector marks heels high, below the tendon.
    found["left_heel"] = _nearest(vertices, foot, back + [0, 0.022, 0.004])
    ears = head[np.abs(vertices[head, 1] - markers["joint-l-eye"][1] + 0.02) < 0.03]
    rim = vertices[ears[np.argmax(vertices[ears, 0])]]
    # The ear's outermost point is on its rim; the detector marks the upper root, which lies inward and ahead.
    found["left_ear"] = _nearest(vertices, head, rim + [-0.038, 0.007, 0.015])
    return found
