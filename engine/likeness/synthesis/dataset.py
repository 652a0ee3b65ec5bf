"""Synthetic people as folders: each view is a capture that the rest of the engine reads, with its truth beside it.

NNNNNN/            one person
  person.json      recipe, caption, settings, credits
  person.npz       SMPL-H pose, betas, joints, the bare body, the outer surface, labelled points (world, metres)
  00/              one view: color.jpg, depth.png, mask.png, intrinsics.json as in any capture folder
     truth.npz     clean depth, normals, parts, kinds, outline; pose, joints and camera in this view's camera space
     caption.txt
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from likeness.core.files import new_folder, read_json, write_json
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.figure import JOINTS, Posed
from likeness.synthesis.sample import PersonSample, Settings, ViewSample
from likeness.synthesis.view import View

FORMAT_VERSION = 1
# Kinect v1 and v2, Azure and RealSense all store whole millimetres.
DEPTH_SCALE_M = 0.001
JPEG_QUALITY = 92


def person_folder(out: Path, index: int) -> Path:
    """Where the index-th person of a dataset lies."""
    return Path(out) / f"{index:06d}"


def is_complete(out: Path, index: int, settings: Settings) -> bool:
    """Whether this person was already written with the same settings (folders appear only when whole)."""
    record = person_folder(out, index) / "person.json"
    return record.is_file() and read_json(record, "input.dataset").get("settings") == _plain(settings.to_dict())


def write_person(out: Path, sample: PersonSample) -> Path:
    """Write one person whole or not at all. Raises LikenessError("output.unwritable")."""
    target = person_folder(out, sample.index)
    with new_folder(target) as folder:
        for number, view in enumerate(sample.views):
            _write_view(folder / f"{number:02d}", view, sample.posed)
        np.savez_compressed(folder / "person.npz", **person_arrays(sample))
        dressed = sample.posed.dressed
        record = {
            "format_version": FORMAT_VERSION,
            "index": sample.index,
            "caption": dressed.caption,
            "recipe": dressed.recipe,
            "settings": sample.settings.to_dict(),
            "views": [{"sensor": v.sensor, "caption": v.caption} for v in sample.views],
            "licences": list(dressed.licences),
        }
        write_json(folder / "person.json", _plain(record))
    return target


def person_arrays(sample: PersonSample) -> dict[str, Any]:
    """What person.npz holds: world frame, metres, Y up, floor at y = 0.

    pose (52, 3), betas, translation (3,), joints (52, 3), body (V, 3) the bare body on the default body's vertices;
    vertices, faces: the closed outer surface; point_position (N, 3), point_sdf (N,), point_part, point_kind,
    point_color (N, 3), point_known, point_normal (N, 3).
    """
    posed = sample.posed
    out: dict[str, Any] = {
        "pose": posed.pose,
        "betas": posed.dressed.betas,
        "translation": posed.translation,
        "joints": posed.joints,
        "body": posed.body.astype(np.float32),
    }
    if sample.mesh is not None:
        out["vertices"], out["faces"] = sample.mesh
    if sample.points is not None:
        p = sample.points
        out |= {"point_position": p.position, "point_sdf": p.sdf, "point_part": p.part, "point_kind": p.kind}
        out |= {"point_color": p.color, "point_known": p.known, "point_normal": p.normal.astype(np.float16)}
    return out


def camera_pose(posed: Posed, view: View) -> np.ndarray:
    """The person's pose (52, 3) axis-angle with the root turned into camera axes, as Fit stores it."""
    pose = posed.pose.copy()
    pose[0] = axis_angle(view.camera_from_world[:3, :3] @ rodrigues(posed.pose[0].astype(float)))
    return pose


def _write_view(folder: Path, sample: ViewSample, posed: Posed) -> None:
    folder.mkdir()
    view = sample.view
    Image.fromarray(sample.color).save(folder / "color.jpg", quality=JPEG_QUALITY, subsampling=0)
    millimetres = np.clip(np.round(sample.depth / DEPTH_SCALE_M), 0, 65535).astype(np.uint16)
    Image.fromarray(millimetres).save(folder / "depth.png")
    Image.fromarray(sample.mask.astype(np.uint8) * 255).convert("1").save(folder / "mask.png")
    camera = {**view.camera.to_dict(), "depth_scale": DEPTH_SCALE_M}
    (folder / "intrinsics.json").write_text(json.dumps(camera, indent=1) + "\n", encoding="utf-8")
    (folder / "caption.txt").write_text(sample.caption + "\n", encoding="utf-8")
    assert posed.pose.shape == (JOINTS, 3)
    np.savez_compressed(
        folder / "truth.npz",
        depth=sample.clean,
        normal=np.round(sample.normal * 127).astype(np.int8),
        outline=sample.outline,
        part=sample.part,
        kind=sample.kind,
        known=sample.known,
        pose=camera_pose(posed, view),
        betas=posed.dressed.betas,
        joints=view.to_camera(posed.joints),
        camera_from_world=view.camera_from_world,
    )


def _plain(value: Any) -> Any:
    """The value as JSON gives it back: tuples as lists, NumPy numbers as plain ones."""

    def simple(item: Any) -> Any:
        return item.item() if isinstance(item, np.generic) else item.tolist()

    return json.loads(json.dumps(value, default=simple))
