"""Linear blend skinning beside smplx's, in one run: milliseconds and how many times as fast ours is.

smplx is under a non-commercial licence and no part of Likeness: `pip install likeness[smpl]` brings it for this.
Both skin the same bodies with shape and pose correctives; runs alternate, and the ratio is the median of the pairs'.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from likeness.body.lbs import BodyTensors, lbs
from likeness.body.model import BodyModel, load_default
from likeness.core.correctives import DenseCorrectives
from record import keep
from smplx.lbs import lbs as smplx_lbs

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Skinning = Callable[[Inputs], torch.Tensor]
_BETAS = 10


@dataclass
class Pair:
    """The same body in both."""

    model: BodyModel
    tensors: BodyTensors
    arrays: dict[str, torch.Tensor]

    @classmethod
    def of(cls, model: BodyModel) -> Pair:
        count, joints = model.weights.shape
        assert model.correctives is not None
        posedirs = model.correctives.dense(count, joints).reshape(3 * count, -1)
        arrays = {
            "v_template": model.v_template,
            "shapedirs": np.ascontiguousarray(model.shapedirs[:, :, :_BETAS]),
            "posedirs": np.ascontiguousarray(posedirs.T),
            "J_regressor": model.joint_regressor(),
            "parents": model.parents.astype(np.int64),
            "lbs_weights": model.weights,
        }
        return cls(model, BodyTensors.from_model(model), {key: torch.as_tensor(a) for key, a in arrays.items()})

    def ours(self, inputs: Inputs) -> torch.Tensor:
        return lbs(self.tensors, *inputs, correctives=True)[0]

    def theirs(self, inputs: Inputs) -> torch.Tensor:
        betas, pose, translation = inputs
        return smplx_lbs(betas, pose.reshape(len(pose), -1), **self.arrays)[0] + translation[:, None]

    def numpy(self, inputs: Inputs) -> torch.Tensor:
        betas, pose, translation = (value[0].detach().numpy() for value in inputs)
        return torch.as_tensor(self.model.posed(betas, pose, translation, correctives=True)[0])[None]

    def inputs(self, batch: int, seed: int) -> Inputs:
        random = torch.Generator().manual_seed(seed)
        sizes = ((batch, _BETAS), (batch, len(self.model.parents), 3), (batch, 3))
        return tuple((0.5 * torch.randn(size, generator=random)).requires_grad_() for size in sizes)  # type: ignore[return-value]


def densely_corrected(model: BodyModel) -> BodyModel:
    """The body with correctives as SMPL's own files have them: every joint moves every vertex."""
    count, joints = model.weights.shape
    posedirs = np.random.default_rng(0).normal(0, 1e-3, (9 * (joints - 1), 3 * count))
    return replace(model, correctives=DenseCorrectives(posedirs.astype(np.float32)))


def timed(skin: Skinning, inputs: Inputs, target: torch.Tensor, backward: bool) -> float:
    """Seconds of one run; backward: from a squared distance to `target` to the inputs."""
    with torch.set_grad_enabled(backward):
        begin = time.perf_counter()
        vertices = skin(inputs)
        if backward:
            torch.autograd.grad((vertices - target).square().sum(), inputs)
        return time.perf_counter() - begin


def compare(pair: Pair, ours: Skinning, batch: int, backward: bool, runs: int) -> dict[str, Any]:
    """Milliseconds of both (least and median), the median ratio, and how far apart they are."""
    target = torch.randn(batch, len(pair.model.v_template), 3, generator=torch.Generator().manual_seed(1))
    apart, times = 0.0, []
    for run in range(runs + 1):
        inputs = pair.inputs(batch, run)
        times.append([timed(skin, inputs, target, backward) for skin in (ours, pair.theirs)])
        if run == 0:
            apart = float((ours(inputs) - pair.theirs(inputs)).detach().abs().max())
    seconds = np.array(times[1:])
    return {
        "ours ms, least": 1e3 * seconds[:, 0].min(),
        "ours ms": 1e3 * float(np.median(seconds[:, 0])),
        "smplx ms, least": 1e3 * seconds[:, 1].min(),
        "smplx ms": 1e3 * float(np.median(seconds[:, 1])),
        "times as fast": float(np.median(seconds[:, 1] / seconds[:, 0])),
        "apart mm": 1e3 * apart,
    }


def compared(name: str, pair: Pair, threads: int, most: int) -> list[dict[str, Any]]:
    """The rows of one body: torch for one and for 64, NumPy for one."""
    torch.set_num_threads(threads)
    rows = []
    for batch, backward in ((1, False), (1, True), (64, False), (64, True)):
        said = {"body": name, "batch": batch, "run": "forward and backward" if backward else "forward"}
        runs = most if batch == 1 else max(3, most // 3)
        figures = compare(pair, pair.ours, batch, backward, runs)
        rows.append({"by": "torch", "threads": threads, **said, **figures})
    said = {"by": "numpy", "threads": threads, "body": name, "batch": 1, "run": "forward"}
    return [*rows, {**said, **compare(pair, pair.numpy, 1, False, most)}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of both; free cores are needed")
    parser.add_argument("--runs", type=int, default=15, help="pairs of runs of one body; a third as many of 64")
    options = parser.parse_args()
    coarse, fine = load_default(), load_default("smplh")
    bodies = {
        "default, 24 joints": coarse,
        "default, 52": fine,
        "24, dense correctives": densely_corrected(coarse),
        "52, dense correctives": densely_corrected(fine),
    }
    rows = []
    for name, model in bodies.items():
        pair = Pair.of(model)
        for threads in options.threads:
            rows += compared(name, pair, threads, options.runs)
    keep("lbs", rows, slowest_ratio=min(row["times as fast"] for row in rows))


if __name__ == "__main__":
    main()
