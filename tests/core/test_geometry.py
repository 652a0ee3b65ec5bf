"""Rotations, cameras and skinning against SciPy and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.core.frames import axis_angle, quaternion, rodrigues
from likeness.core.skinning import joint_transforms, posed_joints, skin, strongest
from scipy.spatial.transform import Rotation

vectors = arrays(np.float64, (5, 3), elements=st.floats(-4, 4))


@given(vectors)
def test_rodrigues_equals_scipy(v):
    np.testing.assert_allclose(rodrigues(v), Rotation.from_rotvec(v).as_matrix(), atol=1e-12)


@given(vectors)
def test_axis_angle_inverts_rodrigues(v):
    turn = rodrigues(v)
    np.testing.assert_allclose(rodrigues(axis_angle(turn)), turn, atol=1e-7)
    assert (np.linalg.norm(axis_angle(turn), axis=-1) <= np.pi + 1e-9).all()


@given(vectors)
def test_quaternion_equals_scipy(v):
    want = Rotation.from_rotvec(v).as_quat(scalar_first=True)
    got = quaternion(rodrigues(v))
    np.testing.assert_allclose(np.abs((want * got).sum(-1)), 1, atol=1e-9)


@given(st.floats(100, 2000), st.floats(100, 2000), st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))
@settings(deadline=None)
def test_project_inverts_backproject(fx, fy, width, height, seed):
    camera = Camera(fx, fy, width / 3, height / 2, width, height)
    depth = np.random.default_rng(seed).uniform(0.3, 5, (height, width)).astype(np.float32)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    np.testing.assert_allclose(camera.project(camera.backproject(depth)), np.stack([u, v], -1), atol=1e-3)


def test_scaled_camera_sees_the_same():
    camera = Camera(500, 510, 319.5, 239.5, 640, 480)
    point = np.array([0.3, -0.2, 2.0])
    u, v = camera.project(point)
    half = camera.scaled(320, 240).project(point)
    # A pixel's outer edge stays an outer edge: (u + 0.5) halves.
    np.testing.assert_allclose(half + 0.5, (np.array([u, v]) + 0.5) / 2)
    np.testing.assert_allclose(camera.cropped(10, 20, 50, 50).project(point), (u - 10, v - 20))


@pytest.mark.parametrize("bad", [{"fx": 0}, {"fy": -1}, {"cx": float("nan")}, {"width": 0}, {"fx": float("inf")}])
def test_camera_refuses(bad):
    good = {"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 2, "height": 2}
    assert Camera.from_dict(good).fx == 1
    with pytest.raises(LikenessError) as caught:
        Camera.from_dict(good | bad)
    assert caught.value.code == "capture.intrinsics"


def _chain(seed, joints=6):
    rng = np.random.default_rng(seed)
    parents = np.array([-1, 0, 1, 1, 3, 0])[:joints]
    return rng, parents, rng.normal(size=(joints, 3))


@pytest.mark.parametrize("seed", range(5))
def test_skinning_with_one_joint_a_vertex_is_forward_kinematics(seed):
    rng, parents, rest = _chain(seed)
    turns = Rotation.random(len(rest), random_state=seed).as_matrix()
    transforms = joint_transforms(turns, rest, parents)
    # Oracle: walk from the vertex up to the root, turning about each joint on the way.
    vertices = rng.normal(size=(len(rest), 3))
    index = np.stack([np.arange(len(rest))] * 2, 1)
    weights = np.tile([1.0, 0.0], (len(rest), 1))
    for joint in range(len(rest)):
        point, walk = vertices[joint], joint
        while walk >= 0:
            point = turns[walk] @ (point - rest[walk]) + rest[walk]
            walk = parents[walk]
        np.testing.assert_allclose(skin(vertices, index, weights, transforms)[joint], point, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_rest_pose_moves_nothing_and_a_root_turn_is_rigid(seed):
    rng, parents, rest = _chain(seed)
    vertices = rng.normal(size=(50, 3))
    joints, weights = strongest(rng.random((50, len(rest))))
    identity = np.broadcast_to(np.eye(3), (len(rest), 3, 3))
    moved = skin(vertices, joints, weights, joint_transforms(identity, rest, parents))
    np.testing.assert_allclose(moved, vertices, atol=1e-6)
    turns = np.array(identity)
    turns[0] = rodrigues(rng.normal(size=3))
    transforms = joint_transforms(turns, rest, parents)
    np.testing.assert_allclose(posed_joints(transforms, rest), (rest - rest[0]) @ turns[0].T + rest[0], atol=1e-12)


@given(arrays(np.float32, (7, 24), elements=st.floats(0, 1, width=32)))
def test_strongest_rows_sum_to_one(weights):
    weights[:, 3] += 0.1
    joints, kept = strongest(weights)
    assert np.abs(kept.sum(1) - 1).max() < 1e-6
    assert joints.dtype == np.uint16 and (kept >= -1e-6).all()
    assert (joints[np.arange(7), 0] == weights.argmax(1)).all()
