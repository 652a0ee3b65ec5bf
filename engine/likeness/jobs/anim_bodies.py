"""Stored poses with the bodies that the product itself fits to each view, in place of disturbed true ones.

    python -m likeness.jobs.anim_bodies SAMPLES OUT

Disturbed bodies miss everywhere alike; a fit lies on what was measured and errs behind it, in clothes and in hidden
limbs. A network on a guess has to correct the latter. Takes some 3 seconds a view and the landmark models, so it is a
step of its own; training takes poses in as they come.
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

from likeness.body.fit import fit_body
from likeness.body.model import product_body
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import read_npz, write_bytes
from likeness.core.fit import Fit
from likeness.jobs.anim_samples import BODY, STEP_M, camera_of, depth_steps
from likeness.jobs.reading import find_person
from likeness.surface.layers.spans import body_hits, fit_surface

# Capture -> its fit; raises LikenessError where there is nobody to fit.
Fitter = Callable[[Capture], Fit]


def fitted_pose(pose: dict[str, NDArray[Any]], fitter: Fitter) -> dict[str, NDArray[Any]]:
    """A stored pose (see anim_samples.pose_arrays) whose views have fitted bodies; views without a fit keep theirs."""
    out = {name: values.copy() for name, values in pose.items()}
    for view in range(len(pose["depth"])):
        capture = view_capture(pose, view)
        try:
            hits = body_hits(*fit_surface(fitter(capture)), capture.camera)
        except LikenessError:
            continue
        for name, values in zip(BODY, (hits.first, hits.leaves, hits.enters, hits.last), strict=True):
            out[name][view] = depth_steps(values)
        out["gross"][view] = False
    return out


def view_capture(pose: dict[str, NDArray[Any]], view: int) -> Capture:
    """What a user would have of a stored view: the square crop with its colour, depth and mask."""
    mask = np.ascontiguousarray(pose["mask"][view].astype(bool))
    depth = np.where(mask, pose["depth"][view] * np.float32(STEP_M), 0).astype(np.float32)
    camera = camera_of(pose["camera"][view], depth.shape[1])
    color = np.ascontiguousarray(pose["color"][view])
    return Capture(color, mask, np.ascontiguousarray(depth), camera, True, "stored view", "", "file")


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


def product_fit(capture: Capture) -> Fit:
    """The fit that `likeness fit` makes."""
    return fit_body(capture, product_body(), find_person(capture))


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
