"""A dressed and posed synthetic person with known joints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.complexion import paint_brows
from likeness.synthesis.layer import Layer
from likeness.synthesis.posing import Rig, bone_transforms, build_rig, skin
from likeness.synthesis.subdivision import catmull_clark, split_quads
from likeness.synthesis.tucking import tuck_under
from likeness.synthesis.wardrobe import Arrays, Item, Recipe, Wardrobe, fit_item

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]


# The lids' shadow on the eyeball is finer than the mesh: without it the white glows.
EYE_SHADE = (0.80, 0.77, 0.76)


@dataclass(frozen=True)
class SyntheticPerson:
    """Layers in the pose, feet on y = 0, pelvis over the origin before `yaw`.

    joints (24, 3) metres in SMPL's order (heads of the base mesh's own bones); pose (24, 3) axis-angle, T-relative,
    the yaw included in its root; joint_rotations (24, 3, 3) world. body (13380, 3) metres: the bare body under the
    clothes, in the base mesh's order.
    """

    recipe: Recipe
    layers: tuple[Layer, ...]
    joints: Floats
    pose: Floats
    joint_rotations: Floats
    body: Floats

    @property
    def vertices(self) -> Floats:
        """(V, 3) of all layers."""
        return np.concatenate([layer.vertices for layer in self.layers])

    @property
    def faces(self) -> Ints:
        """(F, 3) of all layers, into `vertices`."""
        starts = np.cumsum([0, *(len(layer.vertices) for layer in self.layers)])
        return np.concatenate([layer.faces + start for layer, start in zip(self.layers, starts, strict=False)]).astype(
            np.int32
        )

    @property
    def weights(self) -> Floats:
        """(V, 24) skinning weights of all layers."""
        return np.concatenate([layer.weights for layer in self.layers])


def make_person(
    recipe: Recipe, wardrobe: Wardrobe, pose: NDArray, *, yaw_deg: float = 0.0, curl_deg: float = 14.0
) -> SyntheticPerson:
    """Dress and pose a person: pose (24, 3) axis-angle relative to the T pose, yaw_deg turns it to its left.

    Raises LikenessError('input.wardrobe_item') for an item that the wardrobe does not have or may not use.
    """
    body = wardrobe.shape(recipe.macro)
    rig = build_rig(wardrobe.base, body)
    turned = _turn_root(np.asarray(pose, np.float32), yaw_deg)
    transforms, joints, world = bone_transforms(rig, turned, curl_deg)
    layers = tuck_under(tuple(_finish(part, rig, transforms) for part in _parts(recipe, wardrobe, body, rig)))
    vertices = np.concatenate([layer.vertices for layer in layers])
    shift = -np.array([joints[0, 0], vertices[:, 1].min(), joints[0, 2]], np.float32)
    moved = tuple(replace(layer, vertices=layer.vertices + shift) for layer in layers)
    visible = int(wardrobe.base["body_vert_count"])
    bare = skin(body[:visible], rig.weights[:visible], transforms) + shift
    return SyntheticPerson(recipe, moved, (joints + shift).astype(np.float32), turned, world.astype(np.float32), bare)


@dataclass(frozen=True)
class _Part:
    """A layer before posing: quads on rest vertices with bone weights (V, B)."""

    name: str
    material: str
    rest: Floats
    quads: Ints
    uvs: Floats
    bone_weights: sparse.csr_matrix
    color: Bytes
    alpha: Bytes | None


def _turn_root(pose: Floats, yaw_deg: float) -> Floats:
    turned = pose.copy()
    turned[0] = axis_angle(rodrigues(np.array([0.0, np.radians(yaw_deg), 0.0])) @ rodrigues(pose[0].astype(float)))
    return turned


def _parts(recipe: Recipe, wardrobe: Wardrobe, body: Floats, rig: Rig) -> Iterator[_Part]:
    base = wardrobe.base
    items = [wardrobe.item(name) for name in recipe.garments]
    # Outer layers last; what a garment covers is not drawn, so that nothing pokes through.
    items.sort(key=lambda item: float(item.arrays["z_depth"]))
    hidden = np.zeros(len(body), bool)
    for item in items:
        hidden[item.arrays["delete_verts"]] = True
    quads = base["faces"]
    drawn = (quads < int(base["body_vert_count"])).all(1) & ~hidden[quads].all(1)
    yield _Part(
        "body",
        "skin",
        body,
        quads[drawn],
        base["uvs"][base["face_uv"][drawn]],
        rig.weights,
        paint_brows(wardrobe.skin(recipe.skin), base, recipe.brows),
        None,
    )
    for item in items:
        material = "shoe" if item.category == "shoes" else "cloth"
        yield _wearable(item, material, body, rig, recipe.dye.get(item.id))
    yield _wearable(wardrobe.item("HighPolyEyes", recipe.eyes), "eye", body, rig, None)
    if recipe.hair:
        yield _wearable(wardrobe.item(recipe.hair), "hair", body, rig, None)


def _wearable(item: Item, material: str, body: Floats, rig: Rig, dye: tuple[int, int, int] | None) -> _Part:
    arrays = item.arrays
    color = item.color if dye is None else item.color[:, :, list(dye)]
    if material == "eye":
        color = (color * np.array(EYE_SHADE)).astype(np.uint8)
    return _Part(
        item.id,
        material,
        fit_item(arrays, body),
        arrays["faces"],
        arrays["uvs"][arrays["face_uv"]],
        _wearable_weights(arrays, rig),
        color,
        item.alpha,
    )


def _wearable_weights(arrays: Arrays, rig: Rig) -> sparse.csr_matrix:
    """Bone weights (n, B): those of the three body vertices that each vertex is bound to."""
    ref, share = arrays["ref"], np.abs(arrays["weight"]) + 1e-9
    share = share / share.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(ref)), 3)
    binding = sparse.csr_matrix((share.ravel(), (rows, ref.ravel())), shape=(len(ref), rig.weights.shape[0]))
    return (binding @ rig.weights).tocsr()


def _finish(part: _Part, rig: Rig, transforms: NDArray) -> Layer:
    """Pose a part, refine it (hair cards keep their outline) and sum its bone weights up to 24 joints."""
    posed = skin(part.rest, part.bone_weights, transforms)
    to_joints = sparse.csr_matrix(
        (np.ones(len(rig.bone_joint)), (np.arange(len(rig.bone_joint)), rig.bone_joint)),
        shape=(len(rig.bone_joint), 24),
    )
    weights = part.bone_weights @ to_joints
    if part.material == "hair":
        faces, uvs = split_quads(part.quads, part.uvs)
    else:
        fine = catmull_clark(part.quads, part.uvs, len(posed))
        faces, uvs = fine.triangles()
        posed, weights = fine.matrix @ posed, fine.matrix @ weights
    used, compact = np.unique(faces, return_inverse=True)
    return Layer(
        part.name,
        part.material,
        np.asarray(posed)[used].astype(np.float32),
        compact.reshape(-1, 3).astype(np.int32),
        uvs,
        np.asarray(weights.todense(), np.float32)[used],
        part.color,
        part.alpha,
    )
