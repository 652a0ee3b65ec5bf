"""Stored poses with the bodies that the product itself fits to each view, in place of disturbed true ones.

    python -m likeness.jobs.anim_bodies SAMPLES OUT

A step of its own (see fitted_bodies); training takes poses in as they come.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.core.capture import Capture
from likeness.core.files import read_npz, write_bytes
from likeness.jobs.anim_samples import BODY, STEP_M, camera_of, depth_steps
from likeness.jobs.fitted_bodies import Fitter, fitted_body, made_capture, product_fit
from likeness.surface.layers.spans import body_hits


def fitted_pose(pose: dict[str, NDArray[Any]], fitter: Fitter) -> dict[str, NDArray[Any]]:
    """A stored pose (see anim_samples.pose_arrays) whose views have fitted bodies; views without a fit keep theirs."""
    out = {name: values.copy() for name, values in pose.items()}
    for view in range(len(pose["depth"])):
        capture = view_capture(pose, view)
        body = fitted_body(capture, fitter)
        if body is None:
            continue
        hits = body_hits(body.vertices, body.faces, capture.camera)
        for name, values in zip(BODY, (hits.first, hits.leaves, hits.enters, hits.last), strict=True):
            out[name][view] = depth_steps(values)
        out["gross"][view] = False
    return out


def view_capture(pose: dict[str, NDArray[Any]], view: int) -> Capture:
    """What a user would have of a stored view: the square crop with its colour, depth and mask."""
    depth = pose["depth"][view] * np.float32(STEP_M)
    return made_capture(pose["color"][view], depth, pose["mask"][view], camera_of(pose["camera"][view], depth.shape[1]))


def write_fitted(samples: Path, out: Path, fitter: Fitter, log: Callable[[str], None] = print) -> int:
    """Every pose of `samples` that `out` lacks, val and train in turns; how many were written."""
    out.mkdir(parents=True, exist_ok=True)
    made = 0
    by_split = {split: sorted(samples.glob(f"{split}_*.npz")) for split in ("val", "train")}
    for path in [*by_split["val"][:2], *by_split["train"], *by_split["val"][2:]]:
        target = out / path.name
        if target.exists():
            continue
        pose = read_npz(path)
        stream = BytesIO()
        np.savez_compressed(stream, **cast(dict[str, Any], fitted_pose(pose, fitter) if "depth" in pose else pose))
        write_bytes(target, stream.getvalue())
        log(f"{path.name}: {len(pose.get('depth', ()))} views")
        made += 1
    return made


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Give stored poses the bodies that the product fits to them.")
    parser.add_argument("samples", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    write_fitted(args.samples, args.out, product_fit)


if __name__ == "__main__":
    main()
