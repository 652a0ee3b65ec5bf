"""Take a captured surface out of its pose: skinning and correctives undone, kept sane where that is ill-posed."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from ..core.skinning import blend
from .geometry import edges, neighbourhood, uniform_laplacian

_WELL_POSED = 0.35
_STRETCH = 2.5
_RINGS = 3


def unpose(
    vertices: np.ndarray,
    faces: np.ndarray,
    skin_joints: np.ndarray,
    skin_weights: np.ndarray,
    transforms: np.ndarray,
    translation: np.ndarray,
    rest_body: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, float]]:
    """Captured vertices (V, 3) -> rest vertices (V, 3) f32, and figures.

    Solves skin(rest + offsets) + translation = captured vertex by vertex; transforms (J, 4, 4) are posed-from-rest,
    offsets (V, 3) the pose correctives of that pose. Where the
    blended transform nearly loses a dimension (two joints turned against each other), the answer is pulled to the
    undressed body's rest position `rest_body` (V, 3). Where unposing tears neighbours apart that lie together in the
    capture, the surface is smoothed relative to the body.
    """
    blended = blend(skin_joints, skin_weights.astype(np.float64), transforms.astype(np.float64))
    matrix = blended[:, :, :3]
    target = vertices.astype(np.float64) - translation - blended[:, :, 3]
    smallest = np.linalg.svd(matrix, compute_uv=False)[:, -1]
    bent = np.zeros_like(target) if offsets is None else offsets.astype(np.float64)
    # All of this is about the bent body: its correctives are taken off last.
    rest_body = None if rest_body is None else rest_body + bent
    anchor = np.zeros_like(target) if rest_body is None else rest_body
    damping = np.maximum(_WELL_POSED - smallest, 0.0) ** 2
    normal = np.einsum("vka,vkb->vab", matrix, matrix) + damping[:, None, None] * np.eye(3)
    residual = np.einsum("vka,vk->va", matrix, target - np.einsum("vab,vb->va", matrix, anchor))
    rest = anchor + np.linalg.solve(normal, residual[..., None])[..., 0]
    torn = _torn(rest, vertices, faces, rest_body)
    if torn.any():
        rest = _smooth(rest, faces, torn, anchor if rest_body is not None else None)
    figures = {"unpose_torn_vertices": float(torn.mean()), "unpose_damped_vertices": float((damping > 0).mean())}
    return (rest - bent).astype(np.float32), figures


def _torn(rest: np.ndarray, posed: np.ndarray, faces: np.ndarray, rest_body: np.ndarray | None) -> np.ndarray:
    """(V,) bool: ends of edges that unposing made much longer than both the capture and the body have them."""
    edge = edges(faces)
    length = np.linalg.norm(rest[edge[:, 0]] - rest[edge[:, 1]], axis=1)
    known = np.linalg.norm(posed[edge[:, 0]] - posed[edge[:, 1]], axis=1)
    if rest_body is not None:
        known = np.maximum(known, np.linalg.norm(rest_body[edge[:, 0]] - rest_body[edge[:, 1]], axis=1))
    bad = length > _STRETCH * known + 2e-3
    out = np.zeros(len(rest), bool)
    out[edge[bad].ravel()] = True
    return out


def _smooth(rest: np.ndarray, faces: np.ndarray, torn: np.ndarray, body: np.ndarray | None) -> np.ndarray:
    """Replace torn vertices and their rings by the smoothest displacement from the body that joins the rest."""
    edge = edges(faces)
    region = neighbourhood(edge, torn, _RINGS)
    laplacian = uniform_laplacian(edge, len(rest))
    laplacian = sp.diags(1.0 / np.maximum(laplacian.diagonal(), 1.0)) @ laplacian
    trust = np.where(torn, 1e-3, 1.0)[region]
    shift = rest if body is None else rest - body
    rows = laplacian[:, region]
    known = laplacian[:, ~region] @ shift[~region]
    system = (rows.T @ rows * 4.0 + sp.diags(trust)).tocsc()
    out = rest.copy()
    solved = spl.spsolve(system, trust[:, None] * shift[region] - 4.0 * (rows.T @ known))
    out[region] = solved if body is None else solved + body[region]
    return out
