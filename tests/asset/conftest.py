"""A painted body before a camera: captures whose whole truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from likeness.asset.atlas import pad, rasterize
from likeness.asset.rays import RayScene
from likeness.asset.render import TexturedMesh, render_mesh
from likeness.asset.texture import MipTexture
from likeness.body.model import BodyModel, product_body
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import LIMBS, Fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.hands import with_joints
from likeness.core.surface import CapturedSurface

SKIN, HAIR, SHIRT, JEANS, SHOE = (222, 178, 150), (60, 40, 28), (178, 40, 46), (44, 62, 110), (235, 235, 228)


@dataclass(frozen=True)
class Scene:
    """The body as painted and captured: `truth` is the full texture that the camera saw."""

    model: BodyModel
    fit: Fit
    capture: Capture
    surface: CapturedSurface
    truth: np.ndarray


def painted(model: BodyModel, size: int, detail: bool = True, print_m: float = 0.06) -> np.ndarray:
    """(size, size, 3) u8: hair, skin, a shirt with a print, jeans, shoes, by rest position."""
    texels = rasterize(model.corner_uvs, size)
    points = texels.interpolate(model.v_template, model.faces)
    parts = np.asarray(model.part_names)[model.parts[model.faces[texels.face, 0]]]
    x, y, z = points.T
    colour = np.full((len(points), 3), SKIN, np.float32)
    shirt = (parts == "torso") | np.char.endswith(parts, "upper_arm")
    colour[shirt] = SHIRT
    trousers = np.isin(parts, ["left_thigh", "right_thigh", "left_shin", "right_shin"])
    colour[trousers | ((parts == "torso") & (y < 0.05))] = JEANS
    colour[np.char.endswith(parts, "foot")] = SHOE
    nose = model.v_template[model.landmark_vertices["nose"]]
    colour[(parts == "head") & ((y > nose[1] + 0.1) | ((z < nose[2] - 0.12) & (y > nose[1] - 0.05)))] = HAIR
    if detail:
        colour[shirt & (z > 0) & (np.hypot(x, y - 0.3) < print_m)] = (245, 220, 60)
        for side in ("left", "right"):
            eye = model.v_template[model.landmark_vertices[f"{side}_eye"]]
            colour[(parts == "head") & (np.linalg.norm(points - eye, axis=1) < 0.014)] = (30, 60, 40)
        colour *= (1 + 0.08 * np.sin(90 * x) * np.sin(90 * y))[:, None]
    image = np.zeros((size, size, 3), np.uint8)
    image[texels.row, texels.column] = np.clip(colour, 0, 255)
    covered = np.zeros((size, size), bool)
    covered[texels.row, texels.column] = True
    return pad(image, covered)


def resting_pose(turn_deg: float = 0.0) -> np.ndarray:
    """(52, 3) f32: arms half down, one knee bent, fingers relaxed, facing the camera and turned about the vertical."""
    pose = with_joints(np.zeros((24, 3)), 52)
    about = rodrigues(np.array([0.0, np.deg2rad(turn_deg), 0.0]))
    pose[0] = axis_angle(np.diag([1.0, -1.0, -1.0]) @ about)
    pose[16], pose[17] = (0.1, 0.0, -0.95), (-0.1, 0.2, 0.9)
    pose[18], pose[4] = (0.0, -0.5, 0.0), (0.4, 0.0, 0.0)
    return pose.astype(np.float32)


@lru_cache(maxsize=4)
def scene(
    height_px: int = 1024, turn_deg: float = 0.0, detail: bool = True, texture_px: int = 2048, print_m: float = 0.06
) -> Scene:
    """The painted default body 2.4 m before a camera, with exact mask and depth; its surface is the body itself."""
    model = product_body()
    betas = np.linspace(0.8, -0.8, 5).astype(np.float32)
    pose, translation = resting_pose(turn_deg), np.array([0.05, 0.06, 2.4], np.float32)
    vertices, _ = model.posed(betas, pose, translation, correctives=True)
    width = height_px * 3 // 4
    focal = height_px * 1.15
    camera = Camera(focal, focal, (width - 1) / 2, (height_px - 1) / 2, width, height_px)
    truth = painted(model, texture_px, detail, print_m)
    mesh = TexturedMesh(model.faces, model.corner_uvs, MipTexture(truth))
    picture = render_mesh(mesh, vertices, camera)
    _, hits = RayScene(vertices, model.faces).view(camera)
    depth = hits.distance.reshape(picture.shape[:2])
    mask = np.isfinite(depth)
    alpha = picture[..., 3:] / 255.0
    color = (picture[..., :3] * alpha + np.array([30.0, 200.0, 60.0]) * (1 - alpha)).astype(np.uint8)
    fit = Fit(pose, betas, translation, camera, dict.fromkeys(LIMBS, 1.0), {})
    depth = np.where(mask, depth, 0).astype(np.float32)
    capture = Capture(color, mask, depth, camera, True, "painted", "0" * 64, "file")
    corners = vertices[model.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.einsum("fk,fk->f", normals, corners.mean(1)) < 0
    seen = np.zeros(len(vertices), np.float32)
    seen[model.faces[facing]] = 1
    rest, _ = model.rest(betas)
    corners = np.repeat(np.arange(len(vertices), dtype=np.int32)[:, None], 3, axis=1)
    shares = np.tile(np.array([1, 0, 0], np.float32), (len(vertices), 1))
    surface = CapturedSurface(
        vertices, model.faces, seen, model.corner_uvs, model.weights, model.parts, rest, corners, shares
    )
    return Scene(model, fit, capture, surface, truth)


@pytest.fixture(scope="session")
def painted_scene() -> Callable[..., Scene]:
    """scene(height_px, turn_deg, detail, texture_px, print_m) -> Scene, each made once."""
    return scene
