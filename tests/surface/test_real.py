"""The targets of the first version on a calibrated Kinect v2 frame of a real person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from likeness.body.fit import fit_body
from likeness.body.landmarks import detect
from likeness.body.model import BodyModel
from likeness.capture import read_capture
from likeness.surface.draped import drape
from likeness.surface.evaluation.quality import surface_quality


@pytest.mark.slow
def test_a_real_person_keeps_the_measured_side(shared: Path, model: BodyModel) -> None:
    capture = read_capture(shared / "data" / "test" / "rgbd" / "normalgan_kinectv2" / "01")
    fit = fit_body(capture, model, detect(capture.color)[0])
    surface = drape(capture, model, fit)
    figures = surface_quality(surface, capture)
    assert figures["depth_median_mm"] < 3
    assert figures["depth_p95_mm"] < 12
    assert figures["silhouette_iou"] > 0.95
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight
    assert 40_000 < len(surface.vertices) < 80_000
    # Nobody's back is a mirror of the front: the person is as deep as people are.
    trunk = surface.vertices[np.isin(surface.body_part, [model.part_names.index("torso")])]
    assert 0.18 < np.ptp(trunk[:, 2]) < 0.5
