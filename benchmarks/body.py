"""What the default body is worth: shapes and joints of unseen people, volume of bent limbs, size of the file.

    python benchmarks/body.py [--unseen FILE] [--picture FILE]

The figures on unseen people were measured when the body was made and are kept in its file; with --unseen they are
measured again on people that `install/make/make_body.py --unseen FILE` wrote. Prints a table and keeps it in
benchmarks/results/body.json. --picture draws bent limbs without and with pose correctives.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from likeness.body.fit_overlay import shaded
from likeness.body.model import DEFAULT_BODY, BodyModel, load_default, read_body
from likeness.core.camera import Camera
from PIL import Image
from record import keep

#: Name, turns of joints (axis-angle, radians), joint to look at, directions to look along.
BENT: list[tuple[str, dict[str, tuple[float, float, float]], str, list[tuple[float, float, float]]]] = [
    ("elbow 90", {"left_elbow": (0, -1.57, 0)}, "left_elbow", [(0, -1, 0), (0, 0, 1)]),
    ("elbow 130", {"left_elbow": (0, -2.27, 0)}, "left_elbow", [(0, -1, 0), (0, 0, 1)]),
    ("knee 90", {"left_knee": (1.57, 0, 0)}, "left_knee", [(-1, 0, 0), (0, 0, -1)]),
    ("knee 130", {"left_knee": (2.27, 0, 0)}, "left_knee", [(-1, 0, 0), (0, 0, -1)]),
    ("hip 90", {"left_hip": (-1.57, 0, 0)}, "left_hip", [(-1, 0, 0), (-0.6, 0, 0.8)]),
    ("hip 120", {"left_hip": (-2.09, 0, 0), "left_knee": (1.9, 0, 0)}, "left_hip", [(-1, 0, 0), (-0.6, 0, 0.8)]),
    ("arm hanging", {"left_shoulder": (0, 0, -1.3)}, "left_shoulder", [(0, 0, -1), (-0.8, 0, 0.8)]),
    ("arm ahead", {"left_shoulder": (0, -1.5, 0)}, "left_shoulder", [(0, 0, -1), (-0.8, 0, 0.8)]),
    ("arm up", {"left_shoulder": (0, 0, 1.0), "left_collar": (0, 0, 0.4)}, "left_shoulder", [(0, 0, -1), (-1, 0, 1)]),
    ("wrist twisted 90", {"left_wrist": (1.57, 0, 0)}, "left_wrist", [(0, 0, -1), (0, -1, 0)]),
]  # fmt: skip
DRAWN = ("elbow 90", "knee 130", "hip 120", "arm ahead")
TILE, SPAN = 210, 0.5


def pose_of(model: BodyModel, turns: dict[str, tuple[float, float, float]]) -> np.ndarray:
    """(J, 3) axis-angle with a few joints turned."""
    pose = np.zeros((len(model.parents), 3))
    for name, turn in turns.items():
        pose[model.joint_names.index(name)] = turn
    return pose


def volume_ml(model: BodyModel, vertices: np.ndarray) -> float:
    """What the surface encloses; skin that cuts through itself counts twice."""
    return float(trimesh.Trimesh(vertices, model.faces, process=False).volume * 1e6)


def volume_rows(model: BodyModel) -> list[dict[str, Any]]:
    """Volume gained or lost by bending one limb, without and with the correctives."""
    rest, rows = volume_ml(model, model.v_template), []
    for name, turns, _, _ in BENT:
        pose = pose_of(model, turns)
        plain, mended = (volume_ml(model, model.posed(np.zeros(1), pose, correctives=c)[0]) for c in (False, True))
        rows.append({"bent": name, "plain_ml": round(plain - rest, 1), "correctives_ml": round(mended - rest, 1)})
    return rows


def unseen_figures(file: Path) -> dict[str, dict[str, float]]:
    """Surface, joints and regressor on people kept by make_body.py, with all shape components."""
    out = {}
    with np.load(file) as data:
        for group in ("adults", "children"):
            model = read_body(DEFAULT_BODY, group)
            vertices, joints = data[f"{group}_vertices"], data[f"{group}_joints"]
            corners = model.v_template[model.faces]
            area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
            weight = np.bincount(model.faces.reshape(-1), np.repeat(area, 3), len(model.v_template))
            basis = model.shapedirs.reshape(-1, model.betas_count) * np.repeat(np.sqrt(weight), 3)[:, None]
            target = (vertices - model.v_template).reshape(len(vertices), -1) * np.repeat(np.sqrt(weight), 3)
            betas = np.linalg.lstsq(basis, target.T, rcond=None)[0].T
            made = [model.rest(b) for b in betas]
            miss = np.linalg.norm(np.stack([m[0] for m in made]) - vertices, axis=2) * 1000
            off = np.linalg.norm(np.stack([m[1] for m in made]) - joints, axis=2) * 1000
            read = np.linalg.norm(model.joint_regressor().astype(np.float64) @ vertices - joints, axis=2) * 1000
            out[group] = {
                "surface_mean_mm": float((miss @ weight).mean() / weight.sum()),
                "joint_mean_mm": float(off.mean()),
                "joint_worst_mm": float(off.max()),
                "regressor_mean_mm": float(read.mean()),
                "regressor_worst_mm": float(read.max()),
            }
    return out


def tile(model: BodyModel, vertices: np.ndarray, centre: np.ndarray, along: tuple[float, float, float]) -> np.ndarray:
    """A picture (TILE, TILE, 3) u8 of a body around a place, seen along a direction."""
    ahead = np.array(along) / np.linalg.norm(along)
    top = np.array([0, 1.0, 0]) if abs(ahead[1]) < 0.9 else np.array([0, 0, -1.0])
    right = np.cross(ahead, top)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(ahead, right), ahead])
    focal = 2 * TILE * 2.5 / SPAN
    camera = Camera(focal, focal, TILE - 0.5, TILE - 0.5, 2 * TILE, 2 * TILE)
    shade, hit = shaded((vertices - centre) @ axes.T + [0, 0, 2.5], model.faces, camera)
    picture = np.where(hit[..., None], shade[..., None] * [228, 196, 176], [246, 247, 248]).astype(np.uint8)
    return np.asarray(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BOX))


def draw(model: BodyModel, file: Path) -> None:
    """A row a pose: two views without correctives, the same two with them."""
    rows = []
    for name, turns, joint, views in BENT:
        if name in DRAWN:
            pose, made = pose_of(model, turns), []
            for correctives in (False, True):
                vertices, joints = model.posed(np.zeros(1), pose, correctives=correctives)
                made += [tile(model, vertices, joints[model.joint_names.index(joint)], v) for v in views]
            rows.append(np.concatenate(made, 1))
    Image.fromarray(np.concatenate(rows)).quantize(64).save(file, optimize=True)


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--unseen", type=Path, help="people kept by install/make/make_body.py")
    parser.add_argument("--picture", type=Path, help="where to draw bent limbs")
    options = parser.parse_args()
    start = time.process_time()
    model = load_default("smplh")
    seconds = time.process_time() - start
    with np.load(DEFAULT_BODY) as data:
        made = json.loads(str(data["report"]))
    for group in ("adults", "children"):
        made[group].pop("explained", None)
    again = {"unseen_again": unseen_figures(options.unseen)} if options.unseen else {}
    size = round(DEFAULT_BODY.stat().st_size / 1e6, 2)
    keep("body", volume_rows(model), when_made=made, **again, file_mb=size, load_cpu_s=round(seconds, 2))
    if options.picture:
        draw(model, options.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
