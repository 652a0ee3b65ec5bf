"""Unposing against skinning, and the pieces of the atlas against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.asset.atlas import pad, rasterize
from likeness.asset.build import unposed
from likeness.asset.geometry import edges, vertex_normals
from likeness.asset.layout import complete, unwrap
from likeness.asset.limbs import REGIONS, region_of_joint
from likeness.asset.unpose import unpose
from likeness.body.model import product_body
from likeness.core.correctives import DenseCorrectives
from likeness.core.errors import LikenessError
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, posed_joints, skin
from likeness.core.surface import CapturedSurface


def rig(pose: np.ndarray) -> tuple:
    model = product_body()
    vertices, joints = model.rest(np.zeros(3))
    index, weight = model.sparse_weights(4)
    transforms = joint_transforms(rodrigues(pose.astype(np.float64)), joints.astype(np.float64), model.parents)
    return model, vertices.astype(np.float64), index, weight, transforms


@given(st.integers(0, 2**31), st.floats(0.1, 1.2))
@settings(max_examples=8, deadline=None)
def test_unposing_inverts_skinning(seed: int, size: float) -> None:
    pose = np.random.default_rng(seed).normal(size=(52, 3)) * size * 0.4
    model, rest, index, weight, transforms = rig(pose)
    shift = np.array([0.3, -0.2, 2.5])
    posed = skin(rest, index, weight, transforms) + shift
    found, figures = unpose(posed, model.faces, index, weight, transforms, shift, rest)
    assert np.median(np.linalg.norm(found - rest, axis=1)) < 1e-5
    assert np.abs(found - rest).max() < 0.02
    assert figures["unpose_torn_vertices"] < 0.02


@given(st.integers(0, 2**31))
@settings(max_examples=6, deadline=None)
def test_unposing_takes_pose_correctives_off(seed: int) -> None:
    """The model's own posing is the oracle; at rest its correctives are zero, so the template has to come back."""
    random = np.random.default_rng(seed)
    pose, shift = random.normal(size=(52, 3)) * 0.25, np.array([0.1, 0.2, 2.0])
    pose[0] = random.normal(size=3) * 2
    model, rest, index, weight, transforms = rig(pose)
    plain, _ = model.posed(np.zeros(3), pose, shift)
    posed, _ = model.posed(np.zeros(3), pose, shift, correctives=True)
    offsets = model.correctives.offsets(rodrigues(pose), len(rest))
    assert np.abs(posed - plain).max() > 0.003
    found, _ = unpose(posed, model.faces, index, weight, transforms, shift, rest, offsets)
    assert np.percentile(np.linalg.norm(found - rest, axis=1), 99) < 1e-5
    assert np.abs(found - rest).max() < 0.02
    left, _ = unpose(posed, model.faces, index, weight, transforms, shift, rest)
    assert np.abs(left - rest).max() > 0.003


def test_fingers_turn_inside_a_hand_that_lies_elsewhere(painted_scene) -> None:
    """The captured hand is 3 cm off the fitted one: its joints go along, and posing as captured stays exact."""
    painted = painted_scene(256)
    model, fit, shift = painted.model, painted.fit, np.array([0.015, 0.01, -0.024])
    names = list(model.joint_names)
    fingers = [j for j, n in enumerate(names) if j > 21 and n.startswith("left")]
    share = model.weights[:, [names.index("left_wrist"), *fingers]].sum(1)
    off = replace(painted.surface, vertices=painted.surface.vertices + share[:, None] * shift)
    found = unposed(off, model, fit)
    turns = rodrigues(fit.pose.astype(np.float64))
    rest = found.rest_joints.astype(np.float64)
    transforms = joint_transforms(turns, rest, model.parents)
    bones = posed_joints(transforms, rest) + fit.translation
    fitted = model.posed(fit.betas, fit.pose, fit.translation)[1]
    np.testing.assert_allclose(bones[fingers[:12]], fitted[fingers[:12]] + shift, atol=1e-4)
    # The thumb's skin begins where the forearm's ends, which stayed.
    np.testing.assert_allclose(bones[fingers[12:]], fitted[fingers[12:]] + shift, atol=4e-3)
    others = [j for j in range(52) if j not in fingers and names[j] != "left_wrist"]
    np.testing.assert_allclose(bones[others], fitted[others], atol=1e-5)
    bent = found.vertices + found.correctives.offsets(turns, len(found.vertices))
    again = skin(bent.astype(np.float64), found.skin_joints, found.skin_weights, transforms) + fit.translation
    assert np.percentile(np.linalg.norm(again - off.vertices, axis=1), 99) < 1e-4
    tip = model.landmark_vertices["left_index_tip"]
    before = np.linalg.norm(model.rest(fit.betas)[0][tip] - model.rest(fit.betas)[1][names.index("left_index3")])
    assert np.linalg.norm(found.vertices[tip] - rest[names.index("left_index3")]) == pytest.approx(before, abs=1e-3)


def test_smpls_own_correctives_are_taken_off_too(painted_scene) -> None:
    """Where every joint moves every vertex: what the avatar keeps of them is what it was unposed with."""
    painted = painted_scene(256)
    dense = painted.model.correctives.dense(len(painted.model.v_template), 52)
    posedirs = np.ascontiguousarray(dense.reshape(-1, dense.shape[2]).T)
    model = replace(painted.model, correctives=DenseCorrectives(posedirs))
    found = unposed(painted.surface, model, painted.fit)
    assert 1000 < len(found.correctives.vertices) < 20_000
    assert found.figures["repose_error_p95_mm"] < 0.1
    assert np.median(np.linalg.norm(found.vertices - model.rest(painted.fit.betas)[0], axis=1)) < 1e-4


def test_a_collapsed_joint_falls_back_to_the_body() -> None:
    """An elbow turned by half a turn about its bone loses a dimension there; the answer has to stay near the body."""
    pose = np.zeros((52, 3))
    pose[18] = (np.pi, 0, 0)
    model, rest, index, weight, transforms = rig(pose)
    bumped = skin(rest, index, weight, transforms) + np.random.default_rng(0).normal(size=rest.shape) * 0.002
    found, figures = unpose(bumped, model.faces, index, weight, transforms, np.zeros(3), rest)
    assert figures["unpose_damped_vertices"] > 0
    assert np.linalg.norm(found - rest, axis=1).max() < 0.03


def test_a_flap_between_limbs_is_drawn_in() -> None:
    """Vertices of the forearm that lie on the hip in the capture must not stretch to the hip's rest place."""
    pose = np.zeros((52, 3))
    pose[16] = (0, 0, -1.3)
    model, rest, index, weight, transforms = rig(pose)
    posed = skin(rest, index, weight, transforms)
    rogue = np.nonzero(model.weights[:, 16] > 0.95)[0][:3]
    # A weight that jumps between neighbours is what tears: these follow the hip although they lie on the arm.
    index, weight = index.copy(), weight.copy()
    index[rogue], weight[rogue] = [1, 0, 0, 0], [1, 0, 0, 0]
    found, figures = unpose(posed, model.faces, index, weight, transforms, np.zeros(3), rest)
    assert figures["unpose_torn_vertices"] > 0
    assert np.linalg.norm(found[rogue] - rest[rogue], axis=1).max() < 0.03


def test_rasterized_texels_interpolate_their_own_place() -> None:
    model = product_body()
    texels = rasterize(model.corner_uvs, 256)
    place = np.einsum("nk,nkc->nc", texels.barycentric, model.corner_uvs[texels.face])
    np.testing.assert_allclose(place[:, 0], (texels.column + 0.5) / 256, atol=1e-5)
    np.testing.assert_allclose(place[:, 1], 1 - (texels.row + 0.5) / 256, atol=1e-5)
    side = model.corner_uvs[:, 1:] - model.corner_uvs[:, :1]
    area = 0.5 * np.abs(side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0]).sum()
    assert abs(len(texels) / 256**2 - area) < 0.01


def test_padding_reaches_eight_texels_and_more() -> None:
    covered = np.zeros((64, 64), bool)
    covered[20:40, 20:40] = True
    image = np.zeros((64, 64, 3), np.uint8)
    image[covered] = (9, 8, 7)
    image[20:40, 39] = (200, 0, 0)
    out = pad(image, covered)
    assert (out[30, 40:48] == (200, 0, 0)).all()
    assert (out[12:20, 30] == (9, 8, 7)).all()
    assert (out[covered] == image[covered]).all()


def test_edges_are_each_there_once() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    assert edges(faces).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


def test_normals_of_the_default_body_point_outwards() -> None:
    model = product_body()
    moved = model.v_template + 1e-3 * vertex_normals(model.v_template, model.faces)

    def volume(vertices: np.ndarray) -> float:
        a, b, c = (vertices[model.faces[:, k]].astype(np.float64) for k in range(3))
        return float(np.einsum("fk,fk->", a, np.cross(b, c)) / 6)

    assert volume(moved) > volume(model.v_template) > 0


def test_every_joint_has_its_region() -> None:
    regions = region_of_joint(product_body().joint_names)
    named = {n: REGIONS[r] for n, r in zip(product_body().joint_names, regions, strict=True)}
    assert named["pelvis"] == named["spine3"] == named["left_collar"] == "torso"
    assert named["left_wrist"] == named["left_ring1"] == named["left_thumb3"] == "left_hand"
    assert named["right_ankle"] == "right_foot"
    assert named["neck"] == "head"
    assert named["right_elbow"] == "right_arm"


def test_a_surface_of_another_topology_gets_weights_and_an_atlas(painted_scene) -> None:
    painted = painted_scene(256)
    bare = painted.surface
    # Half of the faces, on vertices of their own: no vertex number means anything to the body any more.
    order = np.random.default_rng(0).permutation(len(bare.vertices))
    back = np.argsort(order)
    faces = back[bare.faces].astype(np.int32)
    mixed = CapturedSurface(bare.vertices[order], faces, bare.seen[order], corner_uvs=bare.corner_uvs)
    found = complete(mixed, painted.model, painted.fit)
    assert found.skin_weights is not None
    assert found.body_part is not None
    wrong = np.abs(found.skin_weights - painted.model.weights[order]).sum(1)
    assert np.median(wrong) < 1e-3
    assert wrong.mean() < 0.05
    np.testing.assert_allclose(found.skin_weights.sum(1), 1, atol=1e-5)
    rotations = rodrigues(painted.fit.pose.astype(np.float64))
    bend = painted.model.correctives.carried(found.body_corners, found.body_shares).offsets(rotations, len(order))
    true = painted.model.correctives.offsets(rotations, len(order))[order]
    assert np.abs(true).max() > 0.01
    assert np.percentile(np.linalg.norm(bend - true, axis=1), 99) < 5e-4
    assert (found.body_part == painted.model.parts[order]).mean() > 0.98
    far = CapturedSurface(bare.vertices + [0, 0, 5.0], bare.faces, bare.seen)
    with pytest.raises(LikenessError, match="does not lie in the surface"):
        complete(far, painted.model, painted.fit)


def test_an_atlas_of_a_strange_mesh_does_not_overlap() -> None:
    mesh = trimesh.creation.torus(0.5, 0.2, major_sections=24, minor_sections=12)
    uvs = unwrap(mesh.vertices, mesh.faces)
    assert uvs.shape == (len(mesh.faces), 3, 2)
    assert uvs.min() >= 0
    assert uvs.max() <= 1
    side = uvs[:, 1:] - uvs[:, :1]
    area = 0.5 * np.abs(side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0]).sum()
    # Texels covered once each sum to the faces' areas; an overlap would cover fewer.
    assert abs(len(rasterize(uvs, 512)) / 512**2 - area) < 0.02 * area
