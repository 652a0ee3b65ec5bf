"""Which measurement a vertex may follow."""

from __future__ import annotations

import numpy as np
from likeness.body.model import BodyModel
from likeness.surface.correspond import depth_wishes, joint_neighbours, outline_wishes
from likeness.surface.draped import posed_mesh
from likeness.surface.refine import vertex_normals
from likeness.surface.view import Rays, make_view

from .conftest import photographed, standing

FOREARM_BEFORE_BELLY = {"left_shoulder": (0.0, -0.35, -1.2), "left_elbow": (0.0, -1.5, 0.0)}


def test_neighbours_follow_the_skeleton(model: BodyModel) -> None:
    near = joint_neighbours(model.parents, model.joint_names)
    index = model.joint_names.index
    assert near[index("left_elbow"), index("left_shoulder")]
    assert near[index("spine3"), index("left_shoulder")]
    assert not near[index("spine1"), index("left_elbow")]
    assert not near[index("left_wrist"), index("pelvis")]
    assert not near[index("left_hip"), index("right_hip")]
    assert not near[index("left_knee"), index("right_knee")]
    np.testing.assert_array_equal(near, near.T)
    assert near.diagonal().all()


def test_a_body_on_its_own_capture_wants_nothing(model: BodyModel, coarse: None) -> None:
    mesh, _ = posed_mesh(model, standing(model))
    view = make_view(photographed(mesh.vertices, mesh.faces))
    normals, rays = vertex_normals(mesh.vertices, mesh.faces), Rays(mesh.vertices, mesh.faces)
    joint = np.argmax(mesh.weights, axis=1)
    depth = depth_wishes(view, rays, normals, joint, joint_neighbours(model.parents, model.joint_names), 0.1)
    used = depth.weight > 0.1
    assert used.mean() > 0.2
    off = np.abs(np.sum(depth.normal * depth.move, axis=1))[used]
    assert np.median(off) < 7e-4
    assert np.percentile(off, 99) < 6e-3
    outline = outline_wishes(view, rays, normals, 0.2, 0.1)
    assert (outline.weight > 0).mean() > 0.02
    assert np.linalg.norm(outline.move[outline.weight > 0], axis=1).max() < 1e-9


def test_the_belly_does_not_follow_the_forearm_before_it(model: BodyModel, coarse: None) -> None:
    """Seen is a person with a forearm before the belly; the fit has the arm 4 cm too low."""
    truth, _ = posed_mesh(model, standing(model, **FOREARM_BEFORE_BELLY))
    view = make_view(photographed(truth.vertices, truth.faces))
    guess = dict(FOREARM_BEFORE_BELLY, left_shoulder=(0.0, -0.35, -1.3))
    mesh, _ = posed_mesh(model, standing(model, **guess))
    joint = np.argmax(mesh.weights, axis=1)
    near = joint_neighbours(model.parents, model.joint_names)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    wishes = depth_wishes(view, Rays(mesh.vertices, mesh.faces), normals, joint, near, 0.2)
    trunk = np.isin(joint, [model.joint_names.index(n) for n in ("pelvis", "spine1", "spine2")])
    asked = trunk & (wishes.weight > 0.05)
    assert asked.sum() > 200
    # The forearm is 8 to 20 cm before the trunk: whoever followed it would move by that much.
    assert np.linalg.norm(wishes.move[asked], axis=1).max() < 0.03
    arm = np.isin(joint, [model.joint_names.index(n) for n in ("left_elbow", "left_wrist")])
    assert (wishes.weight[arm] > 0.1).sum() > 100


def test_the_pictures_border_is_no_outline(model: BodyModel, coarse: None) -> None:
    """A person cut off at the knees by the picture must not be squeezed into it."""
    mesh, _ = posed_mesh(model, standing(model))
    capture = photographed(mesh.vertices, mesh.faces)
    rows = 300
    cut = type(capture)(
        color=capture.color[:rows],
        mask=capture.mask[:rows],
        depth=None,
        camera=capture.camera.cropped(0, 0, capture.camera.width, rows),
        camera_known=True,
        name="cut",
        source_sha256="0" * 64,
        mask_source="file",
    )
    assert cut.mask[-1].any()
    view = make_view(cut)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    outline = outline_wishes(view, Rays(mesh.vertices, mesh.faces), normals, 0.2, 0.1)
    wanted = np.linalg.norm(outline.move * (outline.weight > 0)[:, None], axis=1)
    assert wanted.max() < 0.012
    assert (outline.weight[view.camera.project(mesh.vertices)[:, 1] > view.camera.height] == 0).all()
