"""The drape as a whole, on people whose surface is known and on one real capture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from likeness.body.model import BodyModel
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError, cancelled
from likeness.core.fit import Fit
from likeness.core.surface import CapturedSurface
from likeness.surface.draped import drape, posed_mesh
from likeness.surface.evaluation.distance import point_to_surface
from likeness.surface.evaluation.quality import surface_quality

from .conftest import disturbed, dressed, photographed, standing


@pytest.fixture(scope="module")
def person(model: BodyModel) -> tuple[np.ndarray, np.ndarray, Fit]:
    """Vertices and faces of someone in 2 cm of cloth, and the fit of the body under it."""
    fit = standing(model)
    body, _ = model.posed(fit.betas, fit.pose, fit.translation)
    return dressed(body.astype(np.float64), model.faces, model.weights), model.faces, fit


@pytest.fixture(scope="module")
def draped_person(
    model: BodyModel, person, coarse: None
) -> tuple[Capture, Fit, CapturedSurface, list[tuple[float, str]]]:
    """The person draped from a fit that is 3 degrees and 12 mm off, and what was told meanwhile."""
    truth, faces, fit = person
    capture, told = photographed(truth, faces, noise_m=0.0015), []
    off = disturbed(fit, 1)
    surface = drape(capture, model, off, report=lambda fraction, message="": told.append((fraction, message)))
    return capture, off, surface, told


def sound(surface: CapturedSurface) -> None:
    """Closed, outward, finite, and every array of one length."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert np.isfinite(surface.vertices).all()
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert 0.04 < mesh.volume < 0.2
    count = len(surface.vertices)
    assert surface.seen.shape == (count,)
    assert surface.seen.min() >= 0
    assert surface.seen.max() <= 1
    assert surface.skin_weights.shape == (count, 52)
    np.testing.assert_allclose(surface.skin_weights.sum(axis=1), 1, atol=1e-5)
    assert surface.rest_body.shape == (count, 3)
    assert surface.body_part.shape == (count,)
    assert surface.corner_uvs.shape == (*surface.faces.shape, 2)
    assert (surface.vertices.dtype, surface.faces.dtype) == (np.float32, np.int32)


def test_a_body_on_its_own_capture_stays(model: BodyModel, coarse: None) -> None:
    fit = standing(model)
    mesh, _ = posed_mesh(model, fit)
    surface = drape(photographed(mesh.vertices, mesh.faces), model, fit)
    sound(surface)
    moved = np.linalg.norm(surface.vertices - mesh.vertices, axis=1)
    assert np.median(moved) < 0.001
    assert np.percentile(moved, 95) < 0.003
    assert moved.max() < 0.015


def test_cloth_is_found_in_front_and_reaches_the_back(person, draped_person) -> None:
    truth, faces, _ = person
    capture, _, surface, _ = draped_person
    sound(surface)
    off = point_to_surface(surface.vertices, truth, faces)
    seen = surface.seen > 0.5
    assert 0.2 < seen.mean() < 0.5
    # The truth is a thick naked foot; on dressed people the drape closes a shoe over the toes.
    toes = surface.skin_weights[:, [10, 11]].max(axis=1) > 0.3
    assert np.median(off[seen]) < 0.001
    assert np.percentile(off[seen & ~toes], 95) < 0.004
    # The undressed body is 20 mm off everywhere; its back must not stay there nor sink in.
    assert np.median(off[~seen]) < 0.006
    figures = surface_quality(surface, capture)
    assert figures["depth_median_mm"] < 2
    assert figures["depth_p95_mm"] < 8
    assert figures["silhouette_iou"] > 0.98


def test_the_far_side_follows_a_guess(model: BodyModel, person, coarse: None) -> None:
    """A hump on the back that no camera sees: without a guess it is lost, with one it is there, and nothing else moves.

    The guess has hands and feet too, 4 cm behind the true ones: those stay the body's.
    """
    truth, faces, fit = person
    spine = model.posed(fit.betas, fit.pose, fit.translation)[1][model.joint_names.index("spine2")]
    away = np.maximum(trimesh.Trimesh(truth, faces, process=False).vertex_normals[:, 2], 0)
    near = np.exp(-np.sum(((truth - spine) / [0.12, 0.15, 0.3]) ** 2, axis=1))
    humped = truth + (0.06 * near * away)[:, None] * [0, 0, 1.0]
    limbs = model.weights[:, [10, 11, *range(20, 52)]].sum(axis=1) > 0.5
    wrong = humped + (0.04 * limbs)[:, None] * [0, 0, 1.0]
    guess = CapturedSurface(wrong.astype(np.float32), faces.astype(np.int32), np.zeros(len(wrong), np.float32))
    capture = photographed(humped, faces)
    plain, led = (drape(capture, model, fit, guess=told) for told in (None, guess))
    sound(led)
    hump = (near * away)[led.body_corners[:, 0]] > 0.5
    lost, kept = (np.abs(point_to_surface(s.vertices[hump], humped, faces)) for s in (plain, led))
    assert hump.sum() > 50 and np.median(lost) > 0.025 and np.median(kept) < 0.008
    ends = limbs[led.body_corners[:, 0]]
    assert np.percentile(np.linalg.norm(led.vertices - plain.vertices, axis=1)[ends | (led.seen > 0.9)], 95) < 0.005


def test_seen_is_what_faces_the_camera(draped_person) -> None:
    surface = draped_person[2]
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    toward = -surface.vertices / np.linalg.norm(surface.vertices, axis=1, keepdims=True)
    cosine = np.sum(mesh.vertex_normals * toward, axis=1)
    assert (surface.seen[cosine < 0] > 0.1).mean() < 0.002
    assert np.median(surface.seen[cosine > 0.6]) > 0.9


def test_a_photo_is_filled_to_its_outline(model: BodyModel, person, coarse: None) -> None:
    truth, faces, fit = person
    capture = photographed(truth, faces, depth=False)
    surface = drape(capture, model, disturbed(fit, 2, degrees=2, shift_m=0.005))
    sound(surface)
    assert surface_quality(surface, capture)["silhouette_iou"] > 0.97
    assert surface.seen.max() > 0.9


def test_a_skirt_is_reached_without_spikes(model: BodyModel, coarse: None) -> None:
    """Cloth that no body part fills: a cone from the waist to the knees."""
    fit = standing(model)
    body, joints = model.posed(fit.betas, fit.pose, fit.translation)
    ring = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    top, hem = joints[0] + [0, -0.1, 0], joints[4] * [0, 1, 1] + [0, -0.05, 0]
    around = np.stack([np.cos(ring), 0 * ring, 0.8 * np.sin(ring)], axis=1)
    skirt = trimesh.convex.convex_hull(np.concatenate([top + 0.16 * around, hem + 0.28 * around]))
    vertices = np.concatenate([body, skirt.vertices])
    capture = photographed(vertices, np.concatenate([model.faces, skirt.faces + len(body)]))
    surface = drape(capture, model, fit)
    sound(surface)
    figures = surface_quality(surface, capture)
    assert figures["silhouette_iou"] > 0.96
    assert figures["depth_p95_mm"] < 25
    before, _ = posed_mesh(model, fit)
    edges = trimesh.Trimesh(before.vertices, before.faces, process=False).edges_unique
    length, was = (np.linalg.norm(np.diff(v[edges], axis=1)[:, 0], axis=1) for v in (surface.vertices, before.vertices))
    assert ((length > 0.10) & (length > 5 * was)).sum() == 0


def test_a_limb_without_any_reading_keeps_the_body(model: BodyModel, coarse: None) -> None:
    """Black trousers return no depth and fall out of a mask made of it: the legs must not melt."""
    fit = standing(model)
    mesh, joints = posed_mesh(model, fit)
    capture = photographed(mesh.vertices, mesh.faces)
    knee_row = int(capture.camera.project(joints[4][None].astype(np.float64))[0, 1])
    mask = capture.mask.copy()
    mask[knee_row - 20 : knee_row + 20] = False
    holed = replace(capture, mask=mask, depth=np.where(mask, capture.depth, 0).astype(np.float32))
    surface = drape(holed, model, fit)
    sound(surface)
    moved = np.linalg.norm(surface.vertices - mesh.vertices, axis=1)
    assert np.median(moved) < 0.002
    assert moved.max() < 0.02


def test_same_input_same_surface_and_progress_rises(model: BodyModel, draped_person) -> None:
    capture, fit, first, told = draped_person
    second = drape(capture, model, fit)
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.seen, second.seen)
    fractions = [f for f, _ in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert all(message for _, message in told)


def test_cancelling_stops_the_drape(model: BodyModel, person, coarse: None) -> None:
    truth, faces, fit = person

    def stop(fraction: float, message: str = "") -> None:
        if fraction > 0.2:
            raise cancelled()

    with pytest.raises(LikenessError, match="cancelled"):
        drape(photographed(truth, faces), model, fit, report=stop)


def test_wrong_input_is_told_in_words(model: BodyModel, person) -> None:
    truth, faces, fit = person
    capture: Capture = photographed(truth, faces)
    with pytest.raises(LikenessError) as nobody:
        drape(replace(capture, mask=np.zeros_like(capture.mask)), model, fit)
    assert nobody.value.code == "capture.empty_mask"
    with pytest.raises(LikenessError) as other_body:
        drape(capture, model, replace(fit, pose=np.zeros((55, 3), np.float32)))
    assert other_body.value.code == "body.fit"
