"""Ray casting of synthetic scenes on embree, with cut-out textures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from likeness.synthesis.layer import Layer, vertex_normals

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
RAY_START_M = 2e-4


@dataclass(frozen=True)
class Hits:
    """Where rays met the scene. triangle (N,) i32, -1 for none; distance (N,) f32 in ray lengths; bary (N, 2) f32."""

    triangle: Ints
    distance: Floats
    bary: Floats


class Scene:
    """Triangles of all layers with the attributes that shading needs.

    normals (T, 3, 3) smooth corner normals; uvs (T, 3, 2); layer (T,) index into `layers`.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        self.corners = np.concatenate([layer.vertices[layer.faces] for layer in layers]).astype(np.float32)
        self.normals = np.concatenate([vertex_normals(layer.vertices, layer.faces)[layer.faces] for layer in layers])
        self.uvs = np.concatenate([layer.corner_uvs for layer in layers])
        self.layer = np.repeat(np.arange(len(layers)), [len(layer.faces) for layer in layers]).astype(np.int32)
        self._cut_out = np.array([layer.alpha is not None for layer in layers])
        self._embree = rtcore_scene.EmbreeScene()
        TriangleMesh(self._embree, self.corners)

    def cast(
        self, origins: Floats, directions: Floats, rng: np.random.Generator | None = None, sheets: int = 8
    ) -> Hits:
        """First opaque hits of rays (N, 3). Half-covered texels count by chance, or above one half without `rng`."""
        count = len(origins)
        triangle, distance = np.full(count, -1, np.int32), np.zeros(count, np.float32)
        bary = np.zeros((count, 2), np.float32)
        active, start = np.arange(count), np.full(count, RAY_START_M, np.float32)
        for _ in range(sheets):
            ray = np.ascontiguousarray(directions[active], np.float32)
            origin = np.ascontiguousarray(origins[active] + ray * start[active, None], np.float32)
            found = self._embree.run(origin, ray, output=True)
            hit = found["primID"] >= 0
            active = active[hit]
            triangle[active] = found["primID"][hit]
            distance[active] = found["tfar"][hit] + start[active]
            bary[active] = np.stack([found["u"], found["v"]], 1)[hit]
            passed = self._transparent(triangle[active], bary[active], rng)
            active = active[passed]
            if not len(active):
                break
            start[active] = distance[active] + RAY_START_M
            triangle[active] = -1
        return Hits(triangle, distance, bary)

    def blocked(
        self,
        origins: Floats,
        directions: Floats,
        reach: Floats,
        rng: np.random.Generator,
    ) -> NDArray[np.bool_]:
        """Whether something opaque lies on rays (N, 3) before `reach` (N,) ray lengths."""
        hits = self.cast(origins, directions, rng, sheets=5)
        return (hits.triangle >= 0) & (hits.distance < reach)

    def normal_at(self, hits: Hits) -> Floats:
        """Unit smooth normals (N, 3) at hits that exist."""
        normal = interpolate(self.normals[hits.triangle], hits.bary)
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    def _transparent(self, triangle: Ints, bary: Floats, rng: np.random.Generator | None) -> NDArray[np.bool_]:
        passed = np.zeros(len(triangle), bool)
        layer = self.layer[triangle]
        for index in np.flatnonzero(self._cut_out):
            mine = np.flatnonzero(layer == index)
            if len(mine):
                alpha = self.layers[index].alpha
                uv = interpolate(self.uvs[triangle[mine]], bary[mine])
                cover = sample_texture(alpha[..., None], uv)[:, 0] / 255 if alpha is not None else np.ones(len(mine))
                passed[mine] = cover < (0.5 if rng is None else rng.random(len(mine)))
        return passed


def interpolate(corner_values: Floats, bary: Floats) -> Floats:
    """Values (N, C) inside triangles of corner values (N, 3, C) at embree's (u, v) (N, 2)."""
    u, v = bary[:, :1], bary[:, 1:]
    return corner_values[:, 0] * (1 - u - v) + corner_values[:, 1] * u + corner_values[:, 2] * v


def sample_texture(texture: NDArray, uv: Floats) -> Floats:
    """Bilinear lookup of a texture (H, W, C) at uv (N, 2), v up, repeating; (N, C) f32 in the texture's own unit."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, right, top, bottom = x0 % width, (x0 + 1) % width, y0 % height, (y0 + 1) % height
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)
