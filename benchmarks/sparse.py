"""Sparse convolution: our backend beside the spconv package on the CPU, forward and backward, in one run.

    python benchmarks/sparse.py [--voxels 20000 40000] [--channels 16 32 64 128] [--rounds 5]

Needs the extra 'spconv'. Every pair of figures is measured in turns, one thread each (spconv is wrong with more);
milliseconds are processor time, which other work on a shared machine disturbs least, medians over the rounds. ratio:
spconv's time over ours, above 1 ours is faster. bf16: ours under autocast. --two prints ours with two threads
besides, by the clock: only for a machine that does nothing else. The voxels are the skin of a body of capsules with a
noise of a third of a voxel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import record
import torch
from likeness.surface.sparse import Sites, SparseConv3d, SparseInverseConv3d, SparseTensor, SparseUNet, SubMConv3d
from likeness.surface.sparse.rulebook import Rulebook

#: Axis from, to, and radius of the limbs, metres.
LIMBS = (
    ((0.0, 0.0, 0.0), (0.0, 0.45, 0.0), 0.16),
    ((0.0, 0.6, 0.0), (0.0, 0.75, 0.0), 0.11),
    ((0.2, 0.4, 0.0), (0.5, 0.1, 0.05), 0.05),
    ((-0.2, 0.4, 0.0), (-0.5, 0.1, 0.05), 0.05),
    ((0.1, -0.1, 0.0), (0.13, -0.9, 0.0), 0.075),
    ((-0.1, -0.1, 0.0), (-0.13, -0.9, 0.0), 0.075),
)
KERNELS = {"submanifold": SubMConv3d, "strided": SparseConv3d, "inverse": SparseInverseConv3d}


def body(voxels: int) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Indices (N, 4) of about so many voxels, and the grid's shape."""
    size = 0.012
    for _ in range(6):
        axes = [np.arange(low, high, size) for low, high in ((-0.4, 0.4), (-1.1, 1.0), (-0.7, 0.7))]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        points = np.stack([x, y, z], -1).reshape(-1, 3)
        distance = np.full(len(points), np.inf)
        for start, end, radius in LIMBS:
            a, along = np.array(start), np.array(end) - np.array(start)
            share = np.clip((points - a) @ along / (along @ along), 0, 1)
            distance = np.minimum(distance, np.linalg.norm(points - a - share[:, None] * along, axis=1) - radius)
        noise = np.random.default_rng(0).normal(0, 0.3 * size, len(points))
        found = np.argwhere((np.abs(distance + noise) < 0.6 * size).reshape(z.shape))
        size *= (len(found) / voxels) ** 0.5
    return torch.from_numpy(np.c_[np.zeros(len(found)), found].astype(np.int32)), z.shape


def turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor milliseconds of each work, one after the other in each round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(one[1:]) for name, one in times.items()}


def clock(work: Callable[[], object], threads: int, rounds: int) -> float:
    """Median milliseconds by the clock, with so many threads."""
    torch.set_num_threads(threads)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    torch.set_num_threads(1)
    return round(statistics.median(times), 1)


def fresh(tensor: SparseTensor) -> SparseTensor:
    """The same voxels with nothing known about them."""
    sites = tensor.sites
    return SparseTensor.on(Sites(sites.indices, sites.keys, sites.shape, sites.batch_size), tensor.features)


def rulebooks(tensor: SparseTensor, rounds: int) -> list[dict]:
    """What the rulebooks alone cost, by layers of one channel."""
    from spconv.pytorch import ops
    from spconv.pytorch.core import ConvAlgo

    ours = {"submanifold": SubMConv3d(1, 1), "strided": SparseConv3d(1, 1)}
    rows = []
    for name, layer in ours.items():
        stride = [2] * 3 if name == "strided" else [1] * 3
        arguments = [tensor.indices, 1, list(tensor.spatial_shape), ConvAlgo.Native, [3] * 3, stride]
        arguments += [[1] * 3, [1] * 3, [0] * 3, name == "submanifold", False]
        work = {
            "ours": lambda layer=layer: ready(layer.rules(fresh(tensor).sites)[1]),
            "spconv": lambda arguments=arguments: ops.get_indice_pairs(*arguments),
        }
        rows.append(row(tensor, "rulebook " + name, None, turns(work, rounds)))
    return rows


def ready(rules: Rulebook) -> None:
    """Make what layers make at first use: the usual way of working off for each kind, forward and back."""
    if rules.mirrored:
        assert rules.forward.table is not None
    else:
        assert rules.forward.chunks is not None and rules.backward.chunks is not None


def row(tensor: SparseTensor, what: str, channels: object, times: dict[str, float]) -> dict:
    """One line of the table; times of ours, spconv's and, where there is one, of ours in bfloat16."""
    figures = {"ours_ms": round(times["ours"], 1), "spconv_ms": round(times["spconv"], 1)}
    ratio = {"ratio": round(times["spconv"] / times["ours"], 2)}
    rough = {"bf16_ms": round(times["bf16"], 1) if "bf16" in times else None}
    line = {"voxels": len(tensor.features), "what": what, "channels": channels, **figures, **ratio, **rough}
    print(line, flush=True)
    return line


def layers(tensor: SparseTensor, channels: int, rounds: int) -> list[dict]:
    """Each kind of layer, forward alone and with backward, its rulebook known; the strided one makes its rulebook each
    time, because spconv can do no other."""
    random = torch.Generator().manual_seed(0)
    rows = []
    for name, kind in KERNELS.items():
        works: dict[str, dict[str, Callable[[], object]]] = {"forward": {}, "forward + backward": {}}
        kept = []
        for label, backend in (("ours", "torch"), ("spconv", "spconv")):
            layer = kind(channels, channels, bias=False, backend=backend)
            given = fresh(tensor).replace_feature(torch.randn(len(tensor.features), channels, generator=random))
            if name == "inverse":
                coarse = SparseConv3d(channels, channels, bias=False, backend=backend)(given)
                given = coarse.replace_feature(coarse.features.detach())
            given.features.requires_grad_()
            result = layer(given)
            gradient = torch.randn(result.features.shape, generator=random)
            # Held, so that layers find their rulebooks again.
            kept.append(result)
            forward = partial(forward_fresh, layer, given) if name == "strided" else partial(layer, given)
            works["forward"][label] = forward
            works["forward + backward"][label] = lambda f=forward, g=gradient: f().features.backward(g)
        with_rules = " with rulebook" if name == "strided" else ""
        for what, both in works.items():
            times = turns({**both, "bf16": lambda both=both: half(both["ours"])}, rounds)
            rows.append(row(tensor, f"{name + with_rules} {what}", channels, times))
    return rows


def forward_fresh(layer: Callable[[SparseTensor], SparseTensor], tensor: SparseTensor) -> SparseTensor:
    return layer(fresh(tensor))


def half(work: Callable[[], object]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        work()


def unet(tensor: SparseTensor, rounds: int, two: bool) -> list[dict]:
    """ANIM's U-Net of four levels with its rulebooks, forward and backward."""
    widths = (16, 32, 64, 128)
    features = torch.randn(len(tensor.features), 32, generator=torch.Generator().manual_seed(0))
    nets = {"ours": SparseUNet(32, widths, backend="torch"), "spconv": SparseUNet(32, widths, backend="spconv")}

    def work(name: str, backward: bool) -> None:
        levels = nets[name](fresh(tensor).replace_feature(features))
        if backward:
            sum(level.features.square().mean() for level in levels).backward()

    rows = []
    for what, backward in (("forward", False), ("forward + backward", True)):
        both = {name: lambda name=name, backward=backward: work(name, backward) for name in nets}
        times = turns({**both, "bf16": lambda both=both: half(both["ours"])}, rounds)
        rows.append(row(tensor, f"U-Net with rulebooks {what}", "16-128", times))
    if two:
        ours = {f"{n}_threads_clock_ms": clock(lambda: work("ours", True), n, rounds) for n in (1, 2)}
        print(f"U-Net, ours, forward + backward, {len(tensor.features)} voxels: {ours}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, nargs="+", default=[20_000, 40_000])
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--two", action="store_true", help="also ours with two threads")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for voxels in options.voxels:
        indices, shape = body(voxels)
        tensor = SparseTensor(torch.zeros(len(indices), 1), indices, shape, 1)
        rows += rulebooks(tensor, options.rounds)
        for channels in options.channels:
            rows += layers(tensor, channels, options.rounds)
        rows += unet(tensor, options.rounds, options.two)
    slower = [f"{r['voxels']} {r['what']} {r['channels']}: {r['ratio']}" for r in rows if r["ratio"] < 1]
    record.keep("sparse", rows, torch=torch.__version__, spconv="2.3.8", slower_than_spconv=slower)


if __name__ == "__main__":
    main()
