"""The fitted body drawn over its picture, to be judged by eye."""

from __future__ import annotations

import numpy as np
from likeness.body.model import BodyModel
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from PIL import Image, ImageDraw

BODY_COLOR = np.array([120.0, 190.0, 255.0])
LEFT_COLOR, RIGHT_COLOR, MIDDLE_COLOR = (60, 110, 255), (255, 80, 60), (255, 220, 60)
LONGEST_PX = 1024


def draw_overlay(capture: Capture, model: BodyModel, fit: Fit) -> np.ndarray:
    """The picture with the body half-transparent and its skeleton (left blue, right red): (H, W, 3) uint8.

    Pictures over 1024 px are drawn smaller.
    """
    height, width = capture.color.shape[:2]
    scale = min(1.0, LONGEST_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    camera = fit.camera.scaled(*size)
    picture = np.asarray(Image.fromarray(capture.color).resize(size, Image.Resampling.BOX), np.float32)
    vertices, joints = model.posed(fit.betas, fit.pose, fit.translation, correctives=True)
    shade, hit = shaded(vertices, model.faces, camera)
    alpha = 0.55 * hit[..., None]
    picture = picture * (1 - alpha) + alpha * BODY_COLOR * shade[..., None]
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    _skeleton(ImageDraw.Draw(image), model, camera.project(joints), max(1, round(max(size) / 350)))
    return np.asarray(image)


def shaded(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Headlight shading (H, W) 0..1 and hit mask (H, W) of a mesh in camera space."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    triangles = np.ascontiguousarray(vertices[faces], np.float32)
    TriangleMesh(scene, triangles)
    rays = np.ascontiguousarray(camera.rays().reshape(-1, 3))
    # Only rays through the body's box can hit; the rest of the picture is free.
    seen = vertices[:, 2] > 0.05
    inside = np.zeros((camera.height, camera.width), bool)
    if seen.any():
        pixels = camera.project(vertices[seen])
        low = np.floor(pixels.min(axis=0)).clip(0, [camera.width, camera.height]).astype(int)
        high = np.ceil(pixels.max(axis=0) + 1).clip(0, [camera.width, camera.height]).astype(int)
        inside[low[1] : high[1], low[0] : high[0]] = True
    chosen = rays[inside.ravel()]
    hits = np.full(camera.height * camera.width, -1)
    if len(chosen):
        hits[inside.ravel()] = scene.run(np.zeros_like(chosen), chosen)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    facing = np.abs((normal[hits] * rays).sum(axis=1)) / np.linalg.norm(rays, axis=1)
    hit = (hits >= 0).reshape(camera.height, camera.width)
    return np.where(hit, 0.25 + 0.75 * facing.reshape(hit.shape), 0.0).astype(np.float32), hit


def _skeleton(draw: ImageDraw.ImageDraw, model: BodyModel, pixels: np.ndarray, line: int) -> None:
    for joint, parent in enumerate(model.parents):
        if parent < 0 or not np.isfinite(pixels[[joint, parent]]).all():
            continue
        name = model.joint_names[joint]
        color = LEFT_COLOR if name.startswith("left") else RIGHT_COLOR if name.startswith("right") else MIDDLE_COLOR
        start, end = pixels[parent].clip(-1e4, 1e4), pixels[joint].clip(-1e4, 1e4)
        draw.line([tuple(start), tuple(end)], fill=color, width=line)
