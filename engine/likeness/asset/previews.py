"""Pictures of a finished avatar from four sides, for the panel and the folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.avatar import Avatar
from ..core.frames import rodrigues
from ..core.progress import Report, quiet
from .render import TexturedMesh, render_mesh
from .texture import encode_png
from .views import captured_vertices, framing_camera

#: Where the camera stands, in degrees about the avatar: 0 is before it, 90 at its left hand.
SIDES = {"front": 0.0, "left": 90.0, "back": 180.0, "right": -90.0}
_SIZE = (576, 768)
_FOV = np.deg2rad(24.0)


def preview_images(avatar: Avatar, *, lit: bool = False, report: Report = quiet) -> dict[str, np.ndarray]:
    """Side -> (768, 576, 4) u8 RGBA of the avatar in the capture's pose, upright, unlit baked colour by default.

    "front" shows the avatar's front, whichever side the capture shows.
    """
    upright = avatar.world_from_capture[:3, :3]
    vertices = captured_vertices(avatar).astype(np.float64) @ upright.T
    forward = upright @ rodrigues(np.asarray(avatar.capture.pose[0], np.float64))[:, 2]
    heading = rodrigues(np.array([0.0, -np.arctan2(forward[0], forward[2]), 0.0]))
    vertices = vertices @ heading.T
    centred = vertices - 0.5 * (vertices.max(0) + vertices.min(0))
    mesh = TexturedMesh.of(avatar)
    out = {}
    bounds = _symmetric(centred)
    for index, (side, degrees) in enumerate(SIDES.items()):
        report(index / len(SIDES), f"Preview from the {side}")
        camera, camera_from_world = framing_camera(bounds, _SIZE, np.deg2rad(degrees), _FOV)
        out[side] = render_mesh(mesh, centred, camera, camera_from_world, lit=lit)
    return out


def _symmetric(points: np.ndarray) -> np.ndarray:
    """Points whose bounds are the same from all four sides, so that the four pictures have one scale."""
    swapped = points[:, [2, 1, 0]]
    signs = [(sx, 1.0, sz) for sx in (1.0, -1.0) for sz in (1.0, -1.0)]
    return np.concatenate([turned * np.array(sign) for turned in (points, swapped) for sign in signs])


def with_previews(avatar: Avatar, *, report: Report = quiet) -> Avatar:
    """The avatar with previews/front.png, back.png, left.png and right.png among its extra files."""
    images = preview_images(avatar, report=report)
    files = {f"previews/{side}.png": encode_png(image) for side, image in images.items()}
    return replace(avatar, extra={**avatar.extra, **files})
