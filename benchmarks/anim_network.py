"""What ANIM's networks weigh and cost on a processor: parameters, file, head, one look, a million queries.

    python benchmarks/anim_network.py [--configs full,small,tiny] [--threads 1]

Seconds are of the processor, not of the clock, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from likeness.core.camera import Camera
from likeness.surface.anim.config import PRESETS
from likeness.surface.anim.inputs import AnimInputs, batch_of
from likeness.surface.anim.network import AnimNet
from record import keep

QUERIES = 100_000


def figure(size: int) -> AnimInputs:
    """A person's worth of surface: a standing ellipsoid of 1.8 x 0.5 x 0.3 m, 2.5 m away."""
    focal = size * 1.2
    camera = Camera(focal, focal, (size - 1) / 2, (size - 1) / 2, size, size)
    rays, half = camera.rays().astype(float), np.array([0.25, 0.9, 0.15])
    middle = np.array([0.0, 0.0, 2.5])
    a, b = ((rays / half) ** 2).sum(-1), ((rays / half) * (middle / half)).sum(-1)
    root = b**2 - a * (((middle / half) ** 2).sum() - 1)
    depth = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)
    return batch_of(np.full((size, size, 3), 0.5), depth, depth > 0, camera, np.stack([depth, depth + 0.2]))


def cost(name: str) -> dict[str, object]:
    """One row."""
    torch.manual_seed(0)
    net = AnimNet(PRESETS[name]).eval()
    inputs = figure(net.config.image)
    count = sum(p.numel() for p in net.parameters())
    with torch.no_grad():
        net.encode(inputs)
        start = time.process_time()
        state = net.encode(inputs)
        looked = time.process_time() - start
        # Where extraction asks: within 3 cm of the surface.
        z = inputs.depth[inputs.depth > 0]
        picked = torch.randint(len(z), (QUERIES,), generator=torch.Generator().manual_seed(0))
        rows, columns = torch.nonzero(inputs.depth[0, 0] > 0, as_tuple=True)
        u, v = columns[picked].float(), rows[picked].float()
        fx, fy, cx, cy = inputs.intrinsics[0]
        deep = z[picked] + 0.06 * torch.rand(QUERIES) - 0.03
        points = torch.stack([(u - cx) / fx * deep, (v - cy) / fy * deep, deep], 1)
        start = time.process_time()
        state.sdf(points)
        asked = (time.process_time() - start) * 1e6 / QUERIES
    assert state.voxels is not None
    return {
        "network": name,
        "parameters": count,
        "MB in bfloat16": round(count * 2 / 1e6, 2),
        "head MAC a query": net.head.mlp.macs(),
        "nodes": sum(len(level.features) for level in state.voxels.levels),
        "encode cpu s": round(looked, 2),
        "million queries cpu s": round(asked, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", default="full,small,tiny")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep("anim_network", [cost(name) for name in options.configs.split(",")], threads=options.threads)


if __name__ == "__main__":
    main()
