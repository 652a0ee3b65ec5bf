"""People whose surface is known: the default body, posed, dressed in a little cloth, and seen by a ray caster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import trimesh
from likeness.body.model import BodyModel, product_body
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.surface import draped

# A Kinect v2's depth camera.
KINECT = Camera(364.3, 364.3, 256.5, 207.9, 512, 424)


@pytest.fixture(scope="session")
def model() -> BodyModel:
    return product_body()


@pytest.fixture(scope="module")
def coarse() -> Iterator[None]:
    """A drape on 14 000 vertices instead of 50 000: the same algorithm in a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draped, "MAX_EDGE_M", 0.03)
        yield


def standing(model: BodyModel, **joints: tuple[float, float, float]) -> Fit:
    """A person 2.2 m before the camera, arms half lowered; joints: other axis-angles by name."""
    pose = np.zeros((len(model.parents), 3), np.float32)
    pose[0] = (np.pi, 0, 0)
    usual = {"left_shoulder": (0, 0, -1.0), "right_shoulder": (0, 0, 1.0), "left_hip": (0, 0, 0.08)}
    for name, turn in {**usual, **joints}.items():
        pose[model.joint_names.index(name)] = turn
    return Fit(pose, np.zeros(model.betas_count, np.float32), np.array([0, 0, 2.2], np.float32), KINECT)


def disturbed(fit: Fit, seed: int, degrees: float = 3.0, shift_m: float = 0.012) -> Fit:
    """The fit as a real fitter might leave it."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(0, np.radians(degrees) / 1.7, fit.pose.shape)
    axes[[*range(20, len(axes)), 10, 11]] *= 0.3
    pose = axis_angle(rodrigues(fit.pose.astype(np.float64)) @ rodrigues(axes)).astype(np.float32)
    place = fit.translation + rng.normal(0, shift_m / 1.7, 3).astype(np.float32)
    return Fit(pose, fit.betas, place, fit.camera)


def dressed(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, thickness_m: float = 0.02) -> np.ndarray:
    """Vertices moved out along trimesh's normals, but for head and hands."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    skin = weights[:, [15, *range(20, weights.shape[1])]].sum(axis=1)
    return vertices + (thickness_m * (1 - skin))[:, None] * mesh.vertex_normals


def photographed(
    vertices: np.ndarray, faces: np.ndarray, camera: Camera = KINECT, noise_m: float = 0.0, depth: bool = True
) -> Capture:
    """A capture of a mesh in camera space, by trimesh's rays."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    directions = camera.rays().reshape(-1, 3).astype(np.float64)
    hit, ray, where = mesh.ray.intersects_id(
        np.zeros_like(directions), directions, multiple_hits=False, return_locations=True
    )
    assert len(hit) > 100
    z = np.zeros(len(directions))
    z[ray] = where[:, 2] + np.random.default_rng(0).normal(0, noise_m, len(ray))
    mask = np.zeros(len(directions), bool)
    mask[ray] = True
    shape = (camera.height, camera.width)
    return Capture(
        color=np.full((*shape, 3), 128, np.uint8),
        mask=mask.reshape(shape),
        depth=z.reshape(shape).astype(np.float32) if depth else None,
        camera=camera,
        camera_known=True,
        name="synthetic",
        source_sha256="0" * 64,
        mask_source="depth",
    )
