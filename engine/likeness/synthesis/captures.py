"""Synthetic RGB-D captures with their truth, as folders that the rest of the engine reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.core.camera import Camera
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.person import SyntheticPerson
from likeness.synthesis.render import CleanDepth, View, render_color, render_depth, standing_view, to_camera
from likeness.synthesis.room import Room
from likeness.synthesis.sensors import AZURE_KINECT, Sensor, register_depth, sensor_camera, simulate_depth

PORTRAIT = Camera(1250.0, 1250.0, 359.5, 639.5, 720, 1280)
DEPTH_SCALE_M = 0.001


@dataclass(frozen=True)
class SyntheticCapture:
    """color (H, W, 3) u8 sRGB; depth (H, W) f32 m registered to it, 0 = no reading; mask (H, W) bool, true outline."""

    color: NDArray[np.uint8]
    depth: NDArray[np.float32]
    mask: NDArray[np.bool_]
    view: View
    person: SyntheticPerson


def render_rgbd(
    person: SyntheticPerson,
    view: View | None = None,
    *,
    sensor: Sensor = AZURE_KINECT,
    samples: int = 8,
    seed: int = 0,
    room: Room | None = None,
    background: bool = False,
) -> SyntheticCapture:
    """A capture of a person in a room. Unless `background`, readings off the person's outline are cut out."""
    view, room = view or standing_view(PORTRAIT), room or Room()
    rng = np.random.default_rng((seed, 1))
    low = View(sensor_camera(view.camera, sensor), view.camera_from_world)
    clean = render_depth(person, low, room=room)
    read = simulate_depth(clean, sensor, rng)
    depth = register_depth(read, low.camera, view.camera)
    exact = render_depth(person, view)
    if not background:
        depth = cut_out(depth, exact, low.camera, clean)
    color = render_color(person, view, samples=samples, seed=seed, room=room)
    return SyntheticCapture(color, depth, exact.person, view, person)


def cut_out(
    depth: NDArray[np.float32],
    exact: CleanDepth,
    low: Camera,
    clean: CleanDepth,
    margin_m: float = 0.2,
) -> NDArray[np.float32]:
    """Depth with everything dropped that is off the person at either resolution or well behind the person."""
    height, width = depth.shape
    rows = np.clip(np.rint((np.arange(height) + 0.5) * low.height / height - 0.5).astype(int), 0, low.height - 1)
    columns = np.clip(np.rint((np.arange(width) + 0.5) * low.width / width - 0.5).astype(int), 0, low.width - 1)
    farthest = exact.depth[exact.person].max(initial=0) + margin_m
    keep = exact.person & clean.person[np.ix_(rows, columns)] & (depth < farthest)
    return np.where(keep, depth, 0).astype(np.float32)


def camera_pose(person: SyntheticPerson, view: View) -> NDArray[np.float32]:
    """The person's pose (24, 3) axis-angle with the root turned into camera axes, as Fit stores it."""
    pose = person.pose.copy()
    pose[0] = axis_angle(view.camera_from_world[:3, :3] @ rodrigues(person.pose[0].astype(float)))
    return pose


def write_capture(
    folder: Path, capture: SyntheticCapture, *, jpeg_quality: int | None = None, outline: bool = False
) -> None:
    """Write color.png (or color.jpg), depth.png in whole millimetres, intrinsics.json and, with `outline`, mask.png."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(capture.color)
    if jpeg_quality is None:
        image.save(folder / "color.png")
    else:
        image.save(folder / "color.jpg", quality=jpeg_quality, subsampling=0, optimize=True)
    millimetres = np.round(capture.depth / DEPTH_SCALE_M).astype(np.uint16)
    Image.fromarray(millimetres).save(folder / "depth.png", optimize=True)
    if outline:
        Image.fromarray(capture.mask.astype(np.uint8) * 255).convert("1").save(folder / "mask.png", optimize=True)
    record = {**capture.view.camera.to_dict(), "depth_scale": DEPTH_SCALE_M}
    (folder / "intrinsics.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def write_truth(path: Path, capture: SyntheticCapture) -> None:
    """Write what is known, in camera space and metres.

    joints (24, 3), pose (24, 3), vertices (V, 3) and faces (F, 3) of all layers, weights (V, 24) f16, body (13380, 3)
    the bare body under the clothes, mask (H, W), camera_from_world (4, 4), height_m, items (names of the assets).
    """
    person, view = capture.person, capture.view
    extent = person.vertices[:, 1]
    np.savez_compressed(
        path,
        joints=to_camera(view, person.joints),
        pose=camera_pose(person, view),
        vertices=to_camera(view, person.vertices),
        faces=person.faces,
        weights=person.weights.astype(np.float16),
        body=to_camera(view, person.body),
        mask=capture.mask,
        camera_from_world=view.camera_from_world,
        height_m=extent.max() - extent.min(),
        items=np.array([layer.name for layer in person.layers]),
    )
