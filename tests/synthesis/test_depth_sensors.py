"""The simulated depth sensors against closed forms: planes, steps, spheres."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.synthesis.depth_sensors import SENSORS, Sensor, fitting, sensor_view, simulate
from likeness.synthesis.figure import KINDS
from likeness.synthesis.sensor_noise import Chance, Seen, axial_sigma, holes, shadow
from likeness.synthesis.view import Frame, View, look_at

COLOR = Camera(450.0, 450.0, 199.5, 149.5, 400, 300)
STRAIGHT = View(COLOR, np.eye(4))
SPOTLESS = {
    "spread": 0.0, "bias_mm": 0.0, "wiggle_mm": 0.0, "multipath_mm": 0.0, "dropout": 0.0, "dark": 0.0,
    "grazing_deg": 90.0, "rotation_deg": 0.0, "shift_m": 0.0, "lag_px": 0.0,
}  # fmt: skip
MEASURING = [name for name in SENSORS if name not in ("ideal", "estimate", "phone_lidar")]
STEREO = ("kinect_v1", "realsense_d435", "realsense_d435_hd", "realsense_d455")


def frame(depth: np.ndarray, cosine: float = 1.0, infrared: float = 0.5, kind: str = "skin") -> Frame:
    """A frame that holds nothing but geometry; the person is all that is nearer than 2.5 m."""
    seen = torch.as_tensor(depth, dtype=torch.float32)
    person, one = (seen > 0) & (seen < 2.5), torch.ones_like(seen)
    label = torch.where(person, 1 + KINDS.index(kind), 0).to(torch.uint8)
    space = torch.zeros(*seen.shape, 3)
    return Frame(space, seen, space, person.float(), person, label, label, person, one * cosine, one * infrared)


def plane_at(view: View, normal: tuple[float, float, float], offset: float) -> np.ndarray:
    """Depth (H, W) of the plane normal . x = offset in the axes of STRAIGHT."""
    rotation, eye = view.camera_from_world[:3, :3], view.eye
    rays = view.camera.rays().astype(float) @ rotation
    return (offset - eye @ np.array(normal)) / (rays @ np.array(normal))


def board_at(view: View, near: float = 2.0, far: float = 3.0, half: float = 0.3) -> np.ndarray:
    """Depth (H, W) of a square board at z = near before a wall at z = far."""
    front, back = plane_at(view, (0, 0, 1), near), plane_at(view, (0, 0, 1), far)
    points = view.camera.rays() * front[..., None] + view.eye
    return np.where((np.abs(points[..., :2]) < half).all(-1), front, back)


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(sensor: Sensor, render, view: View = STRAIGHT, seed: int = 0, strength: float = 1.0):
    return simulate(render, view, sensor, dice(seed), strength=strength)


@pytest.mark.parametrize("distance", [1.2, 2.0, 3.1])
@pytest.mark.parametrize(
    ("name", "sigma_mm"),
    [
        ("kinect_v1", lambda z: 1e3 * z**2 / 16 / (580 * 0.075)),
        ("kinect_v2", lambda z: 1.5 - 0.5 * z + 0.3 * z**2),
        ("azure_kinect", lambda z: 0.7 + 0.3 * z**2),
        ("realsense_d435", lambda z: 1e3 * z**2 * 0.06 / (424 * 0.05)),
        ("realsense_d455", lambda z: 1e3 * z**2 * 0.06 / (447 * 0.095)),
    ],
)
def test_noise_follows_the_published_curve(name: str, sigma_mm, distance: float) -> None:
    sensor = replace(SENSORS[name], **SPOTLESS)
    # A slight slant spreads the surface over the steps of disparity; the grazing term is nothing at cosine 1.
    found = [read(sensor, lambda view: frame(plane_at(view, (0.1, 0.2, 1), distance)), seed=k) for k in range(3)]
    errors = torch.cat([(one.raw - one.clean)[12:-12, 40:-12].flatten() for one in found])
    expected = np.sqrt(sigma_mm(distance) ** 2 + 1 / 12)
    assert errors.std().item() * 1e3 == pytest.approx(expected, rel=0.08)
    assert abs(errors.mean().item()) * 1e3 < 0.06 * expected


def test_dark_and_slanted_surfaces_are_noisier_to_time_of_flight() -> None:
    sensor, one = SENSORS["kinect_v2"], torch.ones(1)
    plain = axial_sigma(2 * one, one, 0.5 * one, sensor)
    assert axial_sigma(2 * one, one, 0.1 * one, sensor) > 2 * plain
    theta = math.radians(70)
    slanted = axial_sigma(2 * one, math.cos(theta) * one, 0.5 * one, sensor)
    published = 1e-4 * 2**1.5 * theta**2 / (math.pi / 2 - theta) ** 2
    assert (slanted - plain).item() == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("name", MEASURING)
def test_readings_are_whole_millimetres_within_range(name: str) -> None:
    sensor = SENSORS[name]
    found = read(sensor, lambda view: frame(plane_at(view, (0, 0.9, 0.5), 1.2).clip(0, 20)))
    for depth in (found.raw, found.depth):
        millimetres = depth.double() * 1000
        assert (millimetres - millimetres.round()).abs().max() < 1e-3
        some = depth[depth > 0]
        assert len(some) > 1000
        assert sensor.range_m[0] - 1e-6 <= some.min() and some.max() <= sensor.range_m[1] + 1e-6


@pytest.mark.parametrize("name", STEREO)
def test_disparity_comes_in_steps(name: str) -> None:
    sensor = replace(SENSORS[name], millimetres=False)
    raw = read(sensor, lambda view: frame(board_at(view))).raw
    steps = sensor.focal_px * sensor.baseline_m / raw[raw > 0].double() / sensor.step_px
    assert (steps - steps.round()).abs().max() < 1e-3


@pytest.mark.parametrize("name", STEREO)
@pytest.mark.parametrize("upright", [False, True])
def test_the_shadow_lies_on_one_side_and_is_as_wide_as_the_parallax(name: str, upright: bool) -> None:
    sensor = SENSORS[name].upright() if upright else SENSORS[name]
    found = read(sensor, lambda view: frame(board_at(view)), strength=0.0)
    board, lost = found.clean < 2.5, (found.raw == 0) & (found.clean > 0)
    if upright:
        board, lost = board.T, lost.T
    rows = board.any(1).nonzero()[10:-10, 0]
    left = board[rows].int().argmax(1)
    right = board.shape[1] - board[rows].flip(1).int().argmax(1)
    expected = sensor.focal_px * sensor.baseline_m * (1 / 2 - 1 / 3)
    for row, start, end in zip(rows.tolist(), left.tolist(), right.tolist(), strict=True):
        width = math.ceil(expected) + 6
        assert lost[row, start - width : start].sum().item() == pytest.approx(expected, abs=1.5)
        assert not lost[row, end : end + width].any()
        assert not lost[row, start:end].any()


def test_time_of_flight_has_no_shadow() -> None:
    sensor = replace(SENSORS["azure_kinect"], **SPOTLESS)
    found = read(sensor, lambda view: frame(board_at(view)), strength=0.0)
    assert (found.raw > 0).all()


def test_an_unobstructed_surface_has_no_shadow() -> None:
    """A plane that the projector sees as well as the camera."""
    disparity = torch.linspace(10, 24, 200).expand(50, 200)
    assert not shadow(disparity).any()


@given(
    width=st.integers(24, 60), height=st.integers(20, 50), focal=st.floats(30, 90), near=st.floats(0.8, 4),
    seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_an_ideal_sensor_is_the_renderer(width: int, height: int, focal: float, near: float, seed: int) -> None:
    view = View(Camera(focal, 1.1 * focal, width / 2, height / 3, width, height), np.eye(4))
    truth = frame(board_at(view, near, near + 1))
    found = read(SENSORS["ideal"], lambda _: truth, view, seed)
    assert torch.equal(found.depth, truth.depth) and torch.equal(found.raw, truth.depth)
    assert torch.equal(found.mask, truth.mask) and found.raw_view is view


@pytest.mark.parametrize("name", MEASURING)
def test_without_errors_only_resolution_and_parallax_remain(name: str) -> None:
    sensor = replace(SENSORS[name], **SPOTLESS, step_px=0.0, millimetres=False)
    found = read(sensor, lambda view: frame(plane_at(view, (0.2, -0.1, 1), 2.2)), strength=0.0)
    truth = torch.from_numpy(plane_at(STRAIGHT, (0.2, -0.1, 1), 2.2)).float()
    inside = found.depth[4:-4, 4:-4]
    assert (inside > 0).float().mean() > 0.97
    assert torch.where(inside > 0, inside - truth[4:-4, 4:-4], 0.0).abs().max() < 1e-4


@pytest.mark.parametrize("name", SENSORS)
def test_the_same_generator_gives_the_same_reading(name: str) -> None:
    def render(view: View) -> Frame:
        return frame(board_at(view))

    one, same, other = (read(SENSORS[name], render, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.depth, same.depth) and torch.equal(one.mask, same.mask) and torch.equal(one.raw, same.raw)
    if name != "ideal":
        assert not torch.equal(one.raw, other.raw)
        assert one.depth.shape == (COLOR.height, COLOR.width) == one.mask.shape
        assert one.raw.shape == (one.raw_view.camera.height, one.raw_view.camera.width) == one.clean.shape


@pytest.mark.parametrize("name", ["kinect_v2", "azure_kinect"])
def test_flying_pixels_lie_between_front_and_back_beside_edges(name: str) -> None:
    sensor = replace(SENSORS[name], **SPOTLESS, noise_mm=(0.0, 0.0, 0.0), grazing_noise_mm=0.0)
    found = read(sensor, lambda view: frame(board_at(view)))
    near, far = found.clean.min(), found.clean.max()
    flying = (found.raw > near + 0.03) & (found.raw < far - 0.03)
    assert found.raw[found.raw > 0].min() > near - 1e-3 and found.raw.max() < far + 1e-3
    board = (found.clean < 2.5).float()[None, None]
    wide, narrow = torch.nn.functional.max_pool2d(board, 5, 1, 2), -torch.nn.functional.max_pool2d(-board, 5, 1, 2)
    edge = (wide > narrow)[0, 0]
    assert not flying[~edge].any()
    assert 0.01 < flying[edge].float().mean() < 0.5


def flat(infrared: float = 0.5, degrees: float = 0.0, glass: bool = False) -> Seen:
    one = torch.ones(200, 200)
    cosine = one * math.cos(math.radians(degrees))
    return Seen(2 * one, cosine, infrared * one, torch.full((200, 200), glass), one > 0)


@pytest.mark.parametrize("name", MEASURING)
def test_only_dark_grazing_and_glassy_surfaces_leave_holes(name: str) -> None:
    sensor = replace(SENSORS[name], dropout=0.0)

    def lost(seen: Seen) -> float:
        return holes(seen, sensor, 1.0, Chance(dice(), seen.depth)).float().mean().item()

    assert lost(flat()) == 0
    assert lost(flat(infrared=2.2 * sensor.dark)) < 0.002
    assert lost(flat(infrared=sensor.dark)) == pytest.approx(0.5, abs=0.05)
    assert lost(flat(infrared=0.2 * sensor.dark)) > 0.99
    assert lost(flat(degrees=sensor.grazing_deg)) == pytest.approx(0.5, abs=0.05)
    assert lost(flat(degrees=sensor.grazing_deg - 16)) < 0.002
    assert lost(flat(glass=True)) == pytest.approx(sensor.specular, abs=0.02)


def test_stray_losses_have_the_stated_share() -> None:
    sensor = replace(SENSORS["azure_kinect"], dropout=0.02)
    assert holes(flat(), sensor, 1.0, Chance(dice(), torch.zeros(200, 200))).float().mean() == pytest.approx(
        0.02, abs=0.003
    )


def test_calibration_errors_move_the_outline_by_little() -> None:
    sensor = replace(SENSORS["azure_kinect"], spot_px=0.0)
    truth = frame(board_at(STRAIGHT)).mask
    moved = []
    for seed in range(8):
        found = read(sensor, lambda view: frame(board_at(view)), seed=seed).depth
        board = (found > 0) & (found < 2.5)
        rows, columns = board.nonzero(as_tuple=True)
        true_rows, true_columns = truth.nonzero(as_tuple=True)
        shift = [(a.float().mean() - b.float().mean()).item() for a, b in ((rows, true_rows), (columns, true_columns))]
        moved.append(math.hypot(*shift))
    # 0.3 degrees, 4 mm at 2 m and 1.5 px of motion together are less than 6 px.
    assert np.mean(moved) > 0.3 and max(moved) < 6


@given(
    focal=st.floats(150, 2000), width=st.integers(100, 900), height=st.integers(100, 900),
    name=st.sampled_from(MEASURING), upright=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_window_holds_all_that_both_cameras_see(
    focal: float, width: int, height: int, name: str, upright: bool, seed: int
) -> None:
    sensor = SENSORS[name].upright() if upright else SENSORS[name]
    color = Camera(focal, focal, width / 2, height / 2, width, height)
    view = look_at(color, np.array([0.3, 1.1, 2.4]), np.array([0.0, 0.9, 0.0]), roll_deg=5)
    raw = sensor_view(view, sensor)
    rng = np.random.default_rng(seed)
    depth = rng.uniform(max(sensor.range_m[0], 0.5), sensor.range_m[1], 200)
    rays = np.stack([(rng.uniform(0, width - 1, 200) - width / 2) / focal,
                     (rng.uniform(0, height - 1, 200) - height / 2) / focal, np.ones(200)], 1)  # fmt: skip
    world = (rays * depth[:, None] - view.camera_from_world[:3, 3]) @ view.camera_from_world[:3, :3]
    pixels = raw.camera.project(raw.to_camera(world).astype(float))
    size = np.array([sensor.height, sensor.width] if upright else [sensor.width, sensor.height])
    # Where the whole picture begins in pixels of the window: its principal point is the whole picture's middle.
    first = np.array([raw.camera.cx, raw.camera.cy]) - (size - 1) / 2
    on_sensor = ((pixels > first) & (pixels < first + size - 1)).all(1)
    in_window = ((pixels > -0.6) & (pixels < [raw.camera.width - 0.4, raw.camera.height - 0.4])).all(1)
    assert (in_window | ~on_sensor).all()
    assert raw.camera.width <= size[0] and raw.camera.height <= size[1]
    assert raw.camera.fx == sensor.focal_px


def test_the_phone_smooths_relief_and_keeps_distance() -> None:
    def ridges(view: View) -> Frame:
        points = view.camera.rays() * 2 + view.eye
        return frame(2 + 0.01 * np.sin(points[..., 0] * 2 * np.pi / 0.03))

    sensor = replace(SENSORS["phone_lidar"], **SPOTLESS, noise_mm=(0.0, 0.0, 0.0))
    found = read(sensor, ridges)
    inside = found.raw[found.raw > 0]
    assert inside.std() < 0.2 * found.clean.std()
    assert inside.mean().item() == pytest.approx(2.0, abs=1e-3)


def test_a_frame_at_hand_is_not_rendered_again() -> None:
    asked: list[View] = []

    def render(view: View) -> Frame:
        asked.append(view)
        return frame(board_at(view))

    simulate(render, STRAIGHT, SENSORS["azure_kinect"], dice(), frame=frame(board_at(STRAIGHT)))
    assert len(asked) == 1 and asked[0].camera.fx == 504
    np.testing.assert_allclose(asked[0].eye, (-0.032, -0.002, 0.004), atol=1e-12)


def test_only_sensors_that_see_the_whole_person_fit() -> None:
    """A person of 1.8 m fills 48.5 degrees at 2 m: more than Kinect v1 sees level (45), less than upright (58)."""
    camera = Camera(400, 400, 255.5, 255.5, 512, 512)
    person = np.random.default_rng(0).uniform((-0.3, 0, -0.1), (0.3, 1.8, 0.1), (500, 3))

    def names(distance: float) -> dict[str, bool]:
        view = look_at(camera, np.array([0, 0.9, distance]), np.array([0, 0.9, 0]))
        return {sensor.name: sensor.turned for sensor in fitting(SENSORS.values(), view, person)}

    near, far = names(2.0), names(5.2)
    assert near["kinect_v1"] and not near["azure_kinect"] and set(near) == set(SENSORS)
    assert "kinect_v2" not in far and "azure_kinect" in far and "ideal" in far
    view = look_at(camera, np.array([0, 0.9, 6.5]), np.array([0, 0.9, 0]))
    assert fitting([SENSORS["kinect_v2"]], view, person)[0].name == "kinect_v2"


def test_light_that_bounces_in_a_hollow_of_the_person_lengthens_it() -> None:
    """A valley of 6 cm in the person reads deeper by up to the stated millimetres, a plane not at all."""
    sensor = replace(SENSORS["azure_kinect"], **{**SPOTLESS, "multipath_mm": 8.0}, noise_mm=(0.0, 0.0, 0.0))
    sensor = replace(sensor, grazing_noise_mm=0.0, spot_px=0.0)

    def valley(view: View) -> Frame:
        across = np.abs(view.camera.rays()[..., 0] * 2)
        return frame(2 + np.maximum(0.06 - across, 0))

    found = read(sensor, valley)
    deeper = found.raw - found.clean
    bottom = found.clean > 2.05
    assert 0.002 < deeper[bottom].mean() < 0.0085 and deeper.max() < 0.0086
    assert deeper.abs()[found.clean == found.clean.min()].median() < 1e-3
    flat_one = read(sensor, lambda view: frame(plane_at(view, (0, 0, 1), 2.0)))
    assert (flat_one.raw - flat_one.clean)[8:-8, 8:-8].abs().max() < 6e-4
