"""Sparse extraction beside dense evaluation in one run: queries, seconds, memory, and whether the mesh is the same.

    python benchmarks/extract.py [--resolutions 256,512] [--slabs 4] [--whole-mlp] [--threads N]

Two fields of a person of capsules: as a closed form, and with a multilayer perceptron of 0.53 million multiplications a
query added (its share of the value is a tenth of a millimetre, its share of the time is all); that one also within the
person's silhouette, as reconstructions are. Dense: whole at 256 for
the closed form; else that many random slabs of four layers of cells, their time scaled to the whole grid (marked by the
column `dense_share`). `same_mm`: largest distance between vertices of the sparse mesh and of scikit-image's on the
dense values, both ways. Keeps the figures in benchmarks/results/extract.json.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from likeness.core.camera import Camera
from likeness.surface.anim.extract import Box, Extracted, extract
from likeness.surface.anim.extract_hull import Silhouette
from record import keep
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

Field = Callable[[Tensor], Tensor]

BOX = Box((-1.0, -1.0, 1.0), 2.0)
LAYERS = 4
WIDTH = 512
# Trunk, head, arms, forearms, thighs, shins, feet: ends in the middle's axes and radius, metres; y down.
BONES = [((0, -0.35, 0), (0, 0.05, 0.02), 0.14), ((0, -0.72, 0), (0, -0.55, 0), 0.1)] + [
    bone
    for s in (-1, 1)
    for bone in (
        ((s * 0.2, -0.42, 0), (s * 0.36, -0.15, 0.05), 0.05),
        ((s * 0.36, -0.15, 0.05), (s * 0.4, 0.1, -0.1), 0.04),
        ((s * 0.09, 0.05, 0), (s * 0.14, 0.45, -0.05), 0.075),
        ((s * 0.14, 0.45, -0.05), (s * 0.15, 0.85, 0.05), 0.05),
        ((s * 0.15, 0.88, 0.05), (s * 0.17, 0.9, -0.1), 0.04),
    )
]


def person(points: Tensor) -> Tensor:
    """Signed distance to a smooth union of capsules."""
    p = points - torch.tensor([0.0, 0.0, 2.0])
    parts = []
    for start, end, radius in BONES:
        a, b = torch.tensor(start, dtype=torch.float32), torch.tensor(end, dtype=torch.float32)
        share = ((p - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
        parts.append((p - a - share[:, None] * (b - a)).norm(dim=1) - radius)
    return -0.01 * torch.logsumexp(-torch.stack(parts) / 0.01, 0)


def perceptron() -> Field:
    """The same with a network's cost."""
    generator = torch.Generator().manual_seed(0)
    sizes = (3, WIDTH, WIDTH, WIDTH, 1)
    weights = [torch.randn(a, b, generator=generator) / a**0.5 for a, b in pairwise(sizes)]

    def field(points: Tensor) -> Tensor:
        hidden = points
        for weight in weights[:-1]:
            hidden = torch.relu(hidden @ weight)
        return person(points) + 1e-4 * torch.tanh(hidden @ weights[-1])[:, 0]

    return field


def dense(field: Field, resolution: int, low: int, high: int) -> np.ndarray:
    """scikit-image's vertices (V, 3) in metres of layers low to high of the whole grid."""
    axes = [torch.arange(low, high + 1), torch.arange(resolution + 1), torch.arange(resolution + 1)]
    step, values = BOX.side / resolution, []
    with torch.no_grad():
        for plane in axes[0]:
            nodes = torch.stack(torch.meshgrid(plane[None], *axes[1:], indexing="ij"), -1).reshape(-1, 3)
            values.append(torch.cat([field(part * step + torch.tensor(BOX.low)) for part in nodes.split(1 << 16)]))
    cube = torch.stack(values).reshape([len(a) for a in axes]).numpy()
    if not cube.min() < 0 < cube.max():
        return np.zeros((0, 3))
    return (marching_cubes(cube, 0.0, method="lorensen")[0] + [low, 0, 0]) * step + np.array(BOX.low)


def difference_mm(found: Extracted, other: np.ndarray, resolution: int, low: int, high: int) -> float:
    """Largest distance between the two sets of vertices within a slab."""
    x = (found.vertices[:, 0] - BOX.low[0]) / (BOX.side / resolution)
    ours = found.vertices[(x >= low - 1e-4) & (x <= high + 1e-4)]
    if not len(ours) or not len(other):
        return 0.0 if len(ours) == len(other) else float("inf")
    return 1000 * float(max(cKDTree(ours).query(other)[0].max(), cKDTree(other).query(ours)[0].max()))


def silhouette(found: Extracted) -> Silhouette:
    """The person's mask in a picture from the origin."""
    camera = Camera(500.0, 500.0, 319.5, 319.5, 640, 640)
    column, row = np.round(camera.project(found.vertices)).astype(int).T
    mask = np.zeros((640, 640), bool)
    mask[row, column] = True
    return Silhouette(ndimage.binary_fill_holes(ndimage.binary_closing(mask)), camera)


def measure(
    name: str, field: Field, resolution: int, slabs: list[tuple[int, int]], near: Silhouette | None
) -> dict[str, Any]:
    """One line of the table."""
    start = time.perf_counter()
    found = extract(field, BOX, resolution, near=near)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Vertices that Newton's steps moved have no twin on the dense grid.
    unmoved = extract(field, BOX, resolution, newton=0, near=near)
    start = time.perf_counter()
    there = [dense(field, resolution, low, high) for low, high in slabs]
    spent = time.perf_counter() - start
    share = sum(high - low + 1 for low, high in slabs) / (resolution + 1)
    worst = max(difference_mm(unmoved, v, resolution, *slab) for v, slab in zip(there, slabs, strict=True))
    nodes = (resolution + 1) ** 3
    return {
        "field": name, "resolution": resolution, "vertices": len(found.vertices), "queries": found.queries,
        "dense_queries": nodes, "fewer": nodes / found.queries, "seconds": seconds, "dense_seconds": spent / share,
        "faster": spent / share / seconds, "dense_share": share, "same_mm": worst, "peak_mb": peak,
    }  # fmt: skip


def drawn(resolution: int, count: int) -> list[tuple[int, int]]:
    """Random slabs among the layers that the person crosses."""
    low = np.random.default_rng(resolution).integers(0.29 * resolution, 0.71 * resolution - LAYERS, count)
    return [(int(k), int(k) + LAYERS) for k in low]


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resolutions", default="256,384,512")
    parser.add_argument("--slabs", type=int, default=4)
    parser.add_argument("--whole-mlp", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    near = silhouette(extract(person, BOX, 256))
    network = perceptron()
    for name, field, mask in (
        ("closed form", person, None), ("perceptron", network, None), ("perceptron, silhouette", network, near),
    ):  # fmt: skip
        for resolution in map(int, options.resolutions.split(",")):
            whole = resolution == 256 and (field is person or options.whole_mlp)
            slabs = [(0, resolution)] if whole else drawn(resolution, options.slabs)
            rows.append(measure(name, field, resolution, slabs, mask))
            print(rows[-1], flush=True)
    keep("extract", rows, threads=options.threads, macs_a_query={"perceptron": 3 * WIDTH + 2 * WIDTH**2 + WIDTH})


if __name__ == "__main__":
    main()
