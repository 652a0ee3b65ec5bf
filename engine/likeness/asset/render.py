"""The CPU renderer: primary rays, filtered texture, antialiased outlines, optional soft studio light."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.avatar import Avatar
from ..core.camera import Camera
from .geometry import face_normals, vertex_normals
from .rays import Hits, RayScene
from .texture import MipTexture, decode_png

_SUBSAMPLES = 4
_EDGE_STEP_M = 0.012
_SKY = np.array([0.62, 0.66, 0.72], np.float32)
_GROUND = np.array([0.30, 0.28, 0.26], np.float32)
_KEY = np.array([0.62, 0.60, 0.56], np.float32)


@dataclass
class TexturedMesh:
    """What the renderer draws: faces (F, 3) i32, corner_uvs (F, 3, 2) V up, texture. Vertices come with each call."""

    faces: np.ndarray
    corner_uvs: np.ndarray
    texture: MipTexture
    _uv_area: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        side = self.corner_uvs[:, 1:] - self.corner_uvs[:, :1]
        height, width = self.texture.levels[0].shape[:2]
        area = np.abs(side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0])
        self._uv_area = (area * height * width).astype(np.float64)

    @classmethod
    def of(cls, avatar: Avatar) -> TexturedMesh:
        """The mesh of an avatar with its albedo. Raises LikenessError("avatar.texture")."""
        return cls(avatar.faces, avatar.corner_uvs, MipTexture(decode_png(avatar.textures["albedo.png"])))

    def texels_per_metre(self, vertices: np.ndarray) -> np.ndarray:
        """(F,) f32 texture density of each face for these vertices."""
        area = np.linalg.norm(face_normals(vertices, self.faces), axis=1)
        return np.sqrt(self._uv_area / np.maximum(area, 1e-12)).astype(np.float32)


def render_mesh(
    mesh: TexturedMesh,
    vertices: np.ndarray,
    camera: Camera,
    camera_from_world: np.ndarray | None = None,
    *,
    lit: bool = False,
    up: np.ndarray | None = None,
) -> np.ndarray:
    """Render a textured mesh.

    vertices: (V, 3) metres, world. camera_from_world: (4, 4), identity by default. up: (3,) unit vector in the world
    that points to the sky, for `lit`; by default world Y where camera_from_world is given, else the camera's -y.
    Returns (height, width, 4) u8 RGBA, sRGB, straight alpha; nothing drawn is (0, 0, 0, 0).
    """
    sky = np.array([0.0, -1.0, 0.0]) if camera_from_world is None else np.array([0.0, 1.0, 0.0])
    sky = sky if up is None else np.asarray(up, np.float64)
    local = vertices.astype(np.float64)
    if camera_from_world is not None:
        local = local @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        sky = camera_from_world[:3, :3] @ sky
    out = np.zeros((camera.height, camera.width, 4), np.uint8)
    window = _window(local, camera)
    if window is None:
        return out
    shader = _Shader(mesh, local.astype(np.float32), camera, sky if lit else None)
    left, top, right, bottom = window
    out[top:bottom, left:right] = shader.picture(camera.cropped(left, top, right - left, bottom - top))
    return out


def render_avatar(
    avatar: Avatar,
    vertices: np.ndarray,
    camera: Camera,
    camera_from_world: np.ndarray | None = None,
    *,
    lit: bool = False,
    up: np.ndarray | None = None,
) -> np.ndarray:
    """Render an avatar with the given posed vertices once; see render_mesh. For many pictures make a TexturedMesh."""
    return render_mesh(TexturedMesh.of(avatar), vertices, camera, camera_from_world, lit=lit, up=up)


def _window(local: np.ndarray, camera: Camera) -> tuple[int, int, int, int] | None:
    """Pixels that the mesh can touch: left, top, right, bottom (exclusive); None when it is out of the picture."""
    ahead = local[:, 2] > 1e-3
    if not ahead.any():
        return None
    if not ahead.all():
        return 0, 0, camera.width, camera.height
    pixels = camera.project(local)
    low = np.clip(np.floor(pixels.min(0)) - 1, 0, (camera.width, camera.height)).astype(int)
    high = np.clip(np.ceil(pixels.max(0)) + 2, 0, (camera.width, camera.height)).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


class _Shader:
    """Everything that one frame needs to turn rays into colours."""

    def __init__(self, mesh: TexturedMesh, local: np.ndarray, camera: Camera, sky: np.ndarray | None) -> None:
        self._mesh = mesh
        self._scene = RayScene(local, mesh.faces)
        self._density = mesh.texels_per_metre(local)
        self._focal = 0.5 * (camera.fx + camera.fy)
        flat = face_normals(local, mesh.faces)
        self._flat = (flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-20)).astype(np.float32)
        self._sky = sky
        self._smooth = vertex_normals(local, mesh.faces)[mesh.faces] if sky is not None else None

    def picture(self, camera: Camera) -> np.ndarray:
        """(height, width, 4) u8 of the camera's whole picture."""
        directions = camera.rays().reshape(-1, 3)
        hits = self._scene.first_hits(np.zeros(3, np.float32), directions)
        seen = hits.face >= 0
        out = np.zeros((len(directions), 4), np.float32)
        out[seen] = 255.0
        shape = (camera.height, camera.width)
        outline = _outline(hits.distance.reshape(shape)).ravel()
        plain = np.nonzero(seen & ~outline)[0]
        out[plain, :3] = self._colour(directions[plain], _take(hits, plain))
        edge = np.nonzero(outline)[0]
        if len(edge):
            out[edge] = self._supersampled(directions[edge], camera)
        return np.clip(out + 0.5, 0, 255).astype(np.uint8).reshape(*shape, 4)

    def _supersampled(self, directions: np.ndarray, camera: Camera) -> np.ndarray:
        """(N, 4) f32: colour as the mean over the samples that hit, alpha as their share."""
        offset = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
        grid = np.stack(np.meshgrid(offset / camera.fx, offset / camera.fy), -1).reshape(-1, 2)
        rays = np.repeat(directions[:, None], len(grid), axis=1)
        rays[..., :2] += grid.astype(np.float32)
        rays = rays.reshape(-1, 3)
        hits = self._scene.first_hits(np.zeros(3, np.float32), rays)
        struck = np.nonzero(hits.face >= 0)[0]
        owner = struck // len(grid)
        count = np.bincount(owner, minlength=len(directions)).astype(np.float32)
        colour = self._colour(rays[struck], _take(hits, struck))
        out = np.zeros((len(directions), 4), np.float32)
        for channel in range(3):
            out[:, channel] = np.bincount(owner, colour[:, channel], minlength=len(directions))
        out[:, :3] /= np.maximum(count, 1)[:, None]
        out[:, 3] = count * (255.0 / len(grid))
        return out

    def _colour(self, directions: np.ndarray, hits: Hits) -> np.ndarray:
        """(N, 3) f32 sRGB 0..255 of rays that hit."""
        uvs = hits.interpolate(self._mesh.corner_uvs)
        toward = -directions / np.linalg.norm(directions, axis=1, keepdims=True)
        slope = np.abs(np.einsum("nk,nk->n", self._flat[hits.face], toward))
        # A pixel covers a long, thin patch on a slanted face; half of the stretch goes into blur, half is kept sharp.
        footprint = self._density[hits.face] * hits.distance / self._focal
        level = np.log2(np.maximum(footprint, 1e-6)) - 0.5 * np.log2(np.maximum(slope, 0.1))
        colour = self._mesh.texture.sample(uvs, level)
        return colour if self._sky is None else self._lit(colour, toward, hits)

    def _lit(self, colour: np.ndarray, toward: np.ndarray, hits: Hits) -> np.ndarray:
        assert self._smooth is not None
        normal = hits.interpolate(self._smooth)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        normal *= np.where(np.einsum("nk,nk->n", normal, toward) < -0.2, -1.0, 1.0)[:, None]
        up = np.asarray(self._sky, np.float32)
        key = up + np.array([-0.6, 0.0, -1.0], np.float32)
        key /= np.linalg.norm(key)
        heaven = 0.5 + 0.5 * (normal @ up)[:, None]
        shade = heaven * _SKY + (1 - heaven) * _GROUND
        shade = shade + np.maximum(normal @ key, 0)[:, None] * _KEY
        return linear_to_srgb(srgb_to_linear(colour / 255.0) * shade) * 255.0


def _take(hits: Hits, rows: np.ndarray) -> Hits:
    return Hits(hits.face[rows], hits.barycentric[rows], hits.distance[rows])


def _outline(depth: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels beside a jump of depth, on both sides of it."""
    out = np.zeros(depth.shape, bool)
    finite = np.where(np.isfinite(depth), depth, 1e6)
    for axis in (0, 1):
        jump = np.abs(np.diff(finite, axis=axis)) > _EDGE_STEP_M
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        out[tuple(first)] |= jump
        out[tuple(second)] |= jump
    return out


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """sRGB 0..1 -> linear light 0..1."""
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """Linear light 0..1 -> sRGB 0..1, clipped."""
    value = np.clip(value, 0, 1)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
