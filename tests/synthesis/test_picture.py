"""Pictures of simple bodies against what is known of them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import trimesh
from likeness.core.camera import Camera
from likeness.synthesis.development import Development, develop, draw_development
from likeness.synthesis.figure import KINDS, Dressed, Finish, Layer, Posed
from likeness.synthesis.light import light_scene
from likeness.synthesis.picture import render, render_many
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import Frame, View, look_at

CAMERA = Camera(150, 160, 61.3, 78.1, 128, 160)
FRONT = look_at(CAMERA, np.array([0.0, 1.0, 2.4]), np.array([0.0, 1.0, 0.0]))
DULL = Finish(0, 1, 0)


def layer(mesh: trimesh.Trimesh, kind: str = "cloth", finish: Finish = DULL, **changes: object) -> Layer:
    count = len(mesh.vertices)
    made = Layer(
        "thing",
        kind,
        1,
        mesh.vertices.astype(np.float32),
        mesh.faces.astype(np.int32),
        np.full((len(mesh.faces), 3, 2), 0.5, np.float32),
        np.zeros((count, 4), np.uint16),
        np.zeros((count, 4), np.float32),
        np.full(len(mesh.faces), 7, np.uint8),
        np.zeros(count, np.float32),
        np.full((2, 2, 3), 188, np.uint8),
        finish=finish,
    )
    return replace(made, **changes)


def posed(*layers: Layer) -> Posed:
    empty = np.zeros((52, 3), np.float32)
    dressed = Dressed({}, "", layers, empty, np.zeros(10, np.float32), empty)
    return Posed(dressed, layers, empty, empty[0], empty, empty)


def scene(*layers: Layer) -> Scene:
    return Scene(posed(*layers))


def ball(radius: float = 0.5, detail: int = 4) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(detail, radius).apply_translation((0, 1, 0))


def board(side: float = 1.0) -> trimesh.Trimesh:
    """A square that faces +Z, its texture upright: u along x, v along y."""
    half = side / 2
    corners = [(-half, 1 - half, 0), (half, 1 - half, 0), (half, 1 + half, 0), (-half, 1 + half, 0)]
    return trimesh.Trimesh(corners, [(0, 1, 2), (0, 2, 3)], process=False)


UPRIGHT = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], np.float32)


class Room:
    """A floor under an even sky, seen as white, with a sun overhead or none."""

    def __init__(self, sun: bool = False) -> None:
        self.environment = np.ones((32, 64, 3), np.float32)
        self.sun = Overhead() if sun else None

    def look(self, view: View, *, device: str | torch.device = "cpu", colored: bool = True) -> Room.Look:
        rays = torch.from_numpy(view.camera.rays() @ view.camera_from_world[:3, :3].astype(np.float32))
        depth = -float(view.eye[1]) / rays[..., 1]
        floor = (rays[..., 1] < -0.01) & (depth < 9)
        return Room.Look(torch.where(floor, depth, torch.zeros(())), floor)

    class Look:
        def __init__(self, depth: torch.Tensor, floor: torch.Tensor) -> None:
            self.depth, self.floor, self.color = depth, floor, torch.ones((*depth.shape, 3))


class Overhead:
    direction = (0.0, 1.0, 0.0)
    irradiance = np.full(3, np.pi, np.float32)


def sphere_depth(view: View, radius: float) -> np.ndarray:
    rays, centre = view.camera.rays().astype(float), view.to_camera(np.array([0.0, 1.0, 0.0])).astype(float)
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - radius**2
    root = b**2 - a * c
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0)


def test_depth_and_normal_of_a_ball_are_its_own() -> None:
    view = look_at(CAMERA, np.array([0.9, 1.5, 2.0]), np.array([0.0, 1.0, 0.0]), roll_deg=20)
    frame = render(scene(layer(ball(detail=6))), view, outputs="geometry")
    exact = sphere_depth(view, 0.5)
    assert ((frame.depth.numpy() > 0) != (exact > 0)).mean() < 2e-3
    well = (frame.cosine.numpy() > 0.2) & (exact > 0)
    assert well.sum() > 2000
    assert np.abs(frame.depth.numpy() - exact)[well].max() < 5e-4
    points = view.camera.backproject(frame.depth.numpy())
    normal = (points - view.to_camera(np.array([0.0, 1.0, 0.0]))) / 0.5
    assert np.abs(frame.normal.numpy() - normal)[well].max() < 0.01
    # They face the camera, and their angle to the ray is the cosine.
    rays = view.camera.rays() / np.linalg.norm(view.camera.rays(), axis=-1, keepdims=True)
    facing = -(frame.normal.numpy() * rays).sum(-1)
    assert np.allclose(facing[well], frame.cosine.numpy()[well], atol=1e-3)


@pytest.mark.parametrize("supersample", [2, 3])
def test_coverage_sums_to_the_outline_s_area(supersample: int) -> None:
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    rim = np.stack([0.4 * np.cos(turn), 1 + 0.4 * np.sin(turn), 0 * turn], 1)
    disc = trimesh.Trimesh(
        np.concatenate([[[0, 1, 0]], rim]),
        [(0, 1 + k, 1 + (k + 1) % 720) for k in range(720)],
        process=False,
    )
    frame = render(scene(layer(disc)), FRONT, supersample=supersample)
    exact = np.pi * 0.4**2 * CAMERA.fx * CAMERA.fy / 2.4**2
    assert float(frame.coverage.sum()) == pytest.approx(exact, rel=2e-3)
    assert float(frame.mask.sum()) == pytest.approx(exact, rel=1e-2)
    soft = (frame.coverage > 0) & (frame.coverage < 1)
    assert 80 < int(soft.sum()) < 500


def test_textures_stand_upright_and_are_not_mirrored() -> None:
    color = np.zeros((64, 64, 3), np.uint8)
    color[:32, :32], color[:32, 32:], color[32:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    frame = render(scene(layer(board(), corner_uvs=UPRIGHT, color=color)), FRONT)
    row, column = 78, 61
    assert frame.color[row - 15, column - 15].argmax() == 0
    assert frame.color[row - 15, column + 15].argmax() == 1
    assert frame.color[row + 15, column - 15].argmax() == 2


def test_fine_textures_turn_grey_and_do_not_flicker() -> None:
    checks = ((np.indices((512, 512)).sum(0) % 2) * 255).astype(np.uint8)
    color = np.repeat(checks[..., None], 3, 2)
    frame = render(scene(layer(board(), corner_uvs=UPRIGHT, color=color)), FRONT)
    inside = frame.color[60:95, 45:75, 0] / 0.8
    assert float(inside.std()) < 0.02
    assert float(inside.mean()) == pytest.approx(((0.5 + 0.055) / 1.055) ** 2.4, abs=0.02)


def test_cut_outs_let_the_next_layer_through() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :32] = 255
    card = layer(board(), kind="hair", corner_uvs=UPRIGHT, alpha=alpha, sheet=True)
    behind = layer(board(3.0).apply_translation((0, 0, -1)), kind="skin")
    frame = render(scene(behind, card), FRONT)
    assert frame.kind[78, 50] == 1 + KINDS.index("hair")
    assert frame.kind[78, 72] == 1 + KINDS.index("skin")
    assert frame.depth[78, 50] == pytest.approx(2.4, abs=1e-4)
    assert frame.depth[78, 72] == pytest.approx(3.4, abs=1e-4)


def test_labels_and_infrared_are_the_layer_s() -> None:
    known = np.zeros((8, 8), bool)
    known[:4] = True
    worn = layer(board(), kind="hat", corner_uvs=UPRIGHT, known=known, finish=Finish(infrared=0.37))
    frame = render(scene(worn), FRONT, outputs="geometry")
    assert set(frame.part.unique().tolist()) == {0, 8}
    assert set(frame.kind.unique().tolist()) == {0, 1 + KINDS.index("hat")}
    assert frame.known[60, 61] and not frame.known[95, 61] and not frame.known[0, 0]
    assert frame.infrared[78, 61] == pytest.approx(0.37)
    assert not frame.color.any()
    plain = render(scene(layer(board(), kind="skin")), FRONT, outputs="geometry")
    assert 0.45 < float(plain.infrared[78, 61]) < 1


@pytest.mark.parametrize(("width", "height"), [(512, 424), (61, 173), (640, 360)])
def test_any_format_and_principal_point(width: int, height: int) -> None:
    camera = Camera(0.9 * width, 0.95 * width, 0.31 * width, 0.62 * height, width, height)
    view = look_at(camera, np.array([0.3, 1.4, 2.0]), np.array([0.1, 1.1, 0.0]))
    frame = render(scene(layer(ball())), view, Room())
    for field in fields(Frame):
        assert getattr(frame, field.name).shape[:2] == (height, width)
    rows, columns = frame.mask.nonzero(as_tuple=True)
    centre = camera.project(view.to_camera(np.array([0.0, 1.0, 0.0])))
    box = [columns.min() + columns.max(), rows.min() + rows.max()]
    assert np.abs(np.array(box) / 2 - centre).max() < 0.04 * width
    assert bool(frame.color.isfinite().all())


def test_who_stands_partly_or_wholly_elsewhere() -> None:
    stage = scene(layer(ball()))
    beside = look_at(CAMERA, np.array([0.0, 1.0, 2.4]), np.array([1.3, 1.0, 0.0]))
    assert 0 < int(render(stage, beside).mask.sum()) < int(render(stage, FRONT).mask.sum())
    away = look_at(CAMERA, np.array([0.0, 1.0, 2.4]), np.array([0.0, 1.0, 9.0]))
    frame = render(stage, away)
    assert not frame.mask.any() and not frame.depth.any() and not frame.color.any()
    assert render(stage, away, Room()).depth.any()


def test_pictures_are_the_same_on_every_run_and_in_company() -> None:
    first, second = (render(scene(layer(ball())), FRONT, Room(sun=True)) for _ in range(2))
    side = look_at(CAMERA, np.array([2.0, 1.2, 1.0]), np.array([0.0, 1.0, 0.0]))
    together = render_many(scene(layer(ball())), [side, FRONT], Room(sun=True))[1]
    for field in fields(Frame):
        values = getattr(first, field.name)
        assert torch.equal(values, getattr(second, field.name))
        assert torch.allclose(values.float(), getattr(together, field.name).float(), atol=1e-5)


def test_the_order_of_triangles_does_not_show() -> None:
    mesh = ball()
    order = np.random.default_rng(0).permutation(len(mesh.faces))
    mixed = trimesh.Trimesh(mesh.vertices, mesh.faces[order], process=False)
    first, second = (render(scene(layer(m)), FRONT, Room(sun=True)) for m in (mesh, mixed))
    assert torch.equal(first.mask, second.mask) and torch.equal(first.coverage, second.coverage)
    # Which spots of the surface measure what it hides does depend on the order, a little.
    assert float((first.color - second.color).abs().max()) < 0.05
    assert float((first.depth - second.depth).abs().max()) < 1e-5


def test_the_floor_is_darkest_under_the_person() -> None:
    body = trimesh.creation.box((0.5, 1.0, 0.5)).subdivide_to_size(0.05).apply_translation((0, 0.52, 0))
    view = look_at(CAMERA, np.array([0.0, 1.6, 3.2]), np.array([0.0, 0.5, 0.0]))
    stage = scene(layer(body))

    def floor_at(frame: Frame, x: float, z: float) -> float:
        column, row = view.camera.project(view.to_camera(np.array([x, 0.0, z]))).round().astype(int)
        assert not frame.mask[row, column]
        return float(frame.color[row, column].mean())

    even = render(stage, view, Room())
    near, middle, far = (floor_at(even, x, 0.3) for x in (0.3, 0.5, 1.05))
    assert 0.3 < near < middle < far <= 1
    sunny = render(stage, view, Room(sun=True))
    # The sun stands overhead: it reaches all of the floor beside the box.
    assert floor_at(sunny, 0.5, 0.3) > middle
    assert even.depth[150, 61] == pytest.approx(float(Room().look(view).depth[150, 61]))


def test_light_may_be_prepared_beforehand() -> None:
    stage, place = scene(layer(ball())), Room(sun=True)
    light = light_scene(stage, place)
    assert torch.equal(render(stage, FRONT, place, light=light).color, render(stage, FRONT, place).color)


def test_plain_development_is_the_srgb_curve() -> None:
    grey = torch.tensor([0.0, 0.0028, 0.18, 0.5]).view(1, 4, 1).expand(2, 4, 3)
    assert develop(grey)[0, :, 0].tolist() == [0, 9, 118, 188]
    ramp = torch.linspace(0, 6, 500).view(1, 500, 1).expand(1, 500, 3)
    steps = develop(ramp, 0.7)[0, :, 0].int().diff()
    assert bool((steps >= 0).all()) and int(develop(ramp).max()) == 255
    assert torch.equal(develop(grey, 0.5), develop(grey * 0.5))


def test_development_is_drawn_by_the_generator() -> None:
    picture = torch.rand((40, 50, 3), generator=torch.Generator().manual_seed(1))

    def once(seed: int) -> torch.Tensor:
        return develop(picture, generator=torch.Generator().manual_seed(seed))

    assert once(5).dtype == torch.uint8 and once(5).shape == (40, 50, 3)
    assert torch.equal(once(5), once(5)) and not torch.equal(once(5), once(6))
    drawn = [draw_development(torch.Generator().manual_seed(seed)) for seed in range(30)]
    assert len({d.noise for d in drawn}) == 30 and all(0 < d.noise < 0.03 for d in drawn)


def test_each_defect_does_what_it_says() -> None:
    flat = torch.full((81, 121, 3), 0.18)
    cornered = develop(flat, development=Development(vignette=0.5)).float()
    assert float(cornered[0, 0].mean()) < float(cornered[40, 60].mean()) - 20
    assert bool((cornered[40, 60] >= 117).all())
    warm = develop(flat, development=Development(gains=(1.2, 1.0, 0.8)))[0, 0].tolist()
    assert warm[0] > warm[1] > warm[2]
    generator = torch.Generator().manual_seed(0)
    grain = develop(flat, generator=generator, development=Development(noise=0.02)).float() / 255
    # The curve's slope at mid grey turns linear noise into that of the code.
    slope = (1.055 / 2.4) * 0.18 ** (1 / 2.4 - 1)
    assert float(grain.std()) == pytest.approx(0.02 * slope, rel=0.25)
    edge = torch.zeros((21, 21, 3))
    edge[:, 10:] = 0.4
    soft = develop(edge, development=Development(blur_px=1.5))[10, :, 0].int()
    assert int(((soft > 10) & (soft < 165)).sum()) >= 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the same pictures on it are not checked")
def test_a_graphics_card_makes_the_same_picture() -> None:
    person = posed(layer(ball()))
    here, there = (render(Scene(person, device), FRONT, Room(sun=True)) for device in ("cpu", "cuda"))
    assert float((here.mask == there.mask.cpu()).float().mean()) > 0.999
    assert float((here.color - there.color.cpu()).abs().median()) < 1e-3
