"""The fitted body, draped over what the camera measured: depth where there is some, the outline everywhere.

The far side, which nobody saw, follows a guessed surface where there is one: then the two-layer network's or ANIM's
surface becomes one that bends, with the body's topology, arms apart from the trunk and legs from each other. Without a
guess this is the fallback and the baseline that both have to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from likeness.body.model import BodyModel, Folding
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.progress import Report, quiet
from likeness.core.surface import CapturedSurface

from .bones import BoneCorrection
from .cloth import dressed, flat_back, levelling, taut_cloth, toe_caps, turned
from .correspond import Wishes, depth_wishes, joint_neighbours, outline_inside, outline_wishes
from .depthmap import DepthMap, prepare_depth
from .refine import DrapeMesh, body_corners, refine_long_edges, vertex_normals
from .repair import calm
from .solve import SmoothField
from .view import Rays, View, make_view

# 12 mm is two pixels of a Kinect at 2 m; shorter edges would carry no more cloth, only time.
MAX_EDGE_M = 0.012
# Depth gates: first wide enough for a fit that is 10 cm off, at last narrower than a forearm.
BONE_GATES_M = (0.20, 0.15, 0.11, 0.08)
# (length, gate, reach of the outline) of the rounds that find the thickness of cloth along the normals.
THICKNESS_ROUNDS = ((0.30, 0.15, 0.06), (0.20, 0.12, 0.12), (0.12, 0.12, 0.25))
# The same for the rounds that move vertices freely, coarse to fine.
FREE_ROUNDS = ((0.09, 0.12, 0.25), (0.06, 0.10, 0.25), (0.035, 0.08, 0.25), (0.02, 0.06, 0.25))
FINE_ROUNDS = ((0.010, 0.04, 0.05), (0.005, 0.03, 0.02))
# The outline is a strip one vertex wide that has to hold against whole sides covered by depth.
OUTLINE_WEIGHT = 3.0
MAX_STEP_M = 0.06
# Normals are averaged over about this much for the direction in which cloth lies above the skin.
BROAD_M = 0.03
# Where cloth drawn over the back lies farther from the skin than this it forgets the skin.
CREASE_M = 0.008
# A finger is two pixels wide: what single pixels say of it bends it like wax. Hands go where the arm's bones took them.
HAND_SAY = 0.15
HAND_LENGTH_M = 0.08
# Lips and lids are two or three pixels high as well: below this length the body's own features stay.
FACE_LENGTH_PX = 3.5
FACE_LENGTH_M = 0.014
# Black shoes return no depth, so that a mask made of depth misses them: such an outline must not crumple a foot.
FOOT_OUTLINE_SAY = 0.3
FOOT_LENGTH_M = 0.03
# Readings noisier than this (dark or far cloth) are averaged over a larger neighbourhood.
NOISE_M = 0.0012
HOLD = 0.05
HOLD_BELOW_M = 0.08
# A guess of the far side tells no finer folds than FAR_LENGTH_M, and where it is farther from the body than the gate it
# took another limb for this one. With 0.3 of a reading's say it was worse on val people.
FAR_SAY = 1.0
FAR_GATE_M = 0.10
FAR_LENGTH_M = 0.02


@dataclass(frozen=True)
class _Skin:
    """What stays the same during a drape.

    joint (V,) strongest joint, neighbours (J, J) bool, stiffness (V,) factor on lengths, bare (V,) 0..1 on hands,
    foot (V,) 0..1 on the feet, face (V,) 0..1 on the head.
    """

    joint: np.ndarray
    neighbours: np.ndarray
    stiffness: np.ndarray
    bare: np.ndarray
    foot: np.ndarray
    face: np.ndarray


def drape(
    capture: Capture,
    model: BodyModel,
    fit: Fit,
    *,
    guess: CapturedSurface | None = None,
    edge_m: float | None = None,
    report: Report = quiet,
) -> CapturedSurface:
    """Drape the fitted body over a capture.

    guess: a closed surface of the person in the capture's camera space, whose far side the drape follows. edge_m:
    longest edge of the result's mesh, MAX_EDGE_M unless said.
    Returns a surface on the body's topology with long edges split (about 50 000 vertices), camera space, metres.
    `seen` is 1 where a vertex was measured (photo: is in plain view), 0 where it follows its surroundings.
    Raises LikenessError capture.empty_mask when the mask is empty, body.fit when the fit is not one of this model.
    """
    if not capture.mask.any():
        raise LikenessError(
            "capture.empty_mask", f"{capture.name}: the mask shows nobody.", "Give a mask that is white on the person."
        )
    report(0.0, "Preparing the body")
    mesh, joints = posed_mesh(model, fit, edge_m)
    main = _largest_component(mesh.faces, len(mesh.vertices))
    view = make_view(capture)
    body, faces = mesh.vertices[main], _submesh(mesh.faces, main)
    # A finger is two pixels wide: what a capture tells of a hand, it tells of the whole hand.
    fold = Folding.of(model)
    weights, names = fold.weights(mesh.weights[main]), fold.joint_names
    far = None if guess is None else far_side(guess, view.camera)
    drape_job = _Drape(view, far, body, faces, _skin(fold, weights), report)
    rest = mesh.rest[main]
    drape_job.cover_back(turned(flat_back(rest, faces, weights, names), rest, body, weights))
    drape_job.follow_bones(
        BoneCorrection(drape_job.vertices, drape_job.broad_normals(), weights, joints[fold.kept], fold.parents, names)
    )
    drape_job.dress(weights, names)
    drape_job.find_thickness()
    drape_job.bridge_hollows(weights, names)
    drape_job.move_freely()
    drape_job.cap_toes(weights, names)
    vertices = mesh.vertices.copy()
    vertices[main] = drape_job.vertices
    seen = np.zeros(len(vertices))
    seen[main] = drape_job.seen()
    _carry_along(vertices, mesh.vertices, main)
    report(1.0, "Draped")
    corners, shares = body_corners(mesh.origin)
    return CapturedSurface(
        vertices=vertices.astype(np.float32),
        faces=mesh.faces.astype(np.int32),
        seen=seen.astype(np.float32),
        corner_uvs=mesh.corner_uvs.astype(np.float32),
        skin_weights=mesh.weights.astype(np.float32),
        body_part=mesh.parts,
        rest_body=mesh.rest.astype(np.float32),
        body_corners=corners,
        body_shares=shares,
    )


def posed_mesh(model: BodyModel, fit: Fit, edge_m: float | None = None) -> tuple[DrapeMesh, np.ndarray]:
    """The fitted body with edges over `edge_m` (else MAX_EDGE_M) split, and its (J, 3) posed joints.

    Raises LikenessError body.fit.
    """
    joints_expected = len(model.parents)
    if fit.pose.shape != (joints_expected, 3):
        raise LikenessError(
            "body.fit",
            f"The body fit has {len(fit.pose)} joints, but the body model {model.name} has {joints_expected}.",
            "Fit this body model to the capture again.",
        )
    vertices, joints = model.posed(fit.betas, fit.pose, fit.translation, correctives=True)
    rest, _ = model.rest(fit.betas)
    weights = np.asarray(model.weights, np.float64)
    mesh = DrapeMesh(
        vertices=np.asarray(vertices, np.float64),
        rest=np.asarray(rest, np.float64),
        faces=np.asarray(model.faces, np.int64),
        corner_uvs=np.asarray(model.corner_uvs, np.float64),
        weights=weights / weights.sum(axis=1, keepdims=True),
        parts=np.asarray(model.parts, np.uint8),
        origin=sparse.eye_array(len(vertices), format="csr"),
    )
    return refine_long_edges(mesh, edge_m or MAX_EDGE_M), np.asarray(joints, np.float64)


def far_side(guess: CapturedSurface, camera: Camera) -> DepthMap:
    """The side of a closed surface that faces away from a camera, as a depth map whose normals face away too."""
    last, _ = Rays(guess.vertices, guess.faces).passed(camera, behind=True)
    seen = prepare_depth(last, camera)
    return replace(seen, normals=-seen.normals)


class _Drape:
    """One drape in progress: the current vertices of one connected, closed mesh."""

    def __init__(
        self, view: View, far: DepthMap | None, body: np.ndarray, faces: np.ndarray, skin: _Skin, report: Report
    ) -> None:
        self.vertices = self._body = body
        self._far = far
        self._view, self._faces, self._skin, self._report = view, faces, skin, report
        self._field = SmoothField(body, faces)
        self._rounds = len(BONE_GATES_M) + len(THICKNESS_ROUNDS) + len(FREE_ROUNDS) + len(FINE_ROUNDS)
        self._done = 0
        self._thickness, self._dressed = np.zeros((2, len(body)))
        self._cover = np.zeros_like(body)

    def broad_normals(self) -> np.ndarray:
        """(V, 3) unit normals of the body at large.

        Cloth lies on these: along the true normals lips, lids, ears and toes would grow through themselves.
        """
        normals = vertex_normals(self.vertices, self._faces)
        broad = self._field.solve(normals, np.ones(len(normals)), BROAD_M) + 1e-3 * normals
        return broad / np.linalg.norm(broad, axis=1, keepdims=True)

    def cover_back(self, flat: np.ndarray) -> None:
        """Draw cloth over the back before it gets any thickness: in a cleft that would push its walls through each
        other. flat (V, 3): from the body to such cloth."""
        laid = self.vertices + flat
        # The walls of a cleft stand so near to each other that all they would keep of their own is a crease.
        deep = np.linalg.norm(flat, axis=1) > CREASE_M
        patch = self._field.solve(laid, np.where(deep, 0.0, 1e3), length=BROAD_M)
        self._cover = np.where(deep[:, None], patch, laid) - self.vertices
        self.vertices = self._body = self.vertices + self._cover

    def follow_bones(self, bones: BoneCorrection) -> None:
        """Shift and turn whole limbs, and give each the thickness of cloth that goes with that."""
        for gate in BONE_GATES_M:
            self._tick("Laying the body on the measurement")
            normals = vertex_normals(self.vertices, self._faces)
            depth, outline = self._wishes(normals, gate, reach=min(gate, 0.10))
            if self._view.depth is None:
                # The fit laid the face on the photographed one; hair round it must not pull the head away.
                outline = _scaled(outline, 1.0 - self._skin.face)
            self.vertices = bones.follow(self._field.area, [depth, _scaled(outline, OUTLINE_WEIGHT)])
        self._thickness = bones.thickness()

    def dress(self, weights: np.ndarray, names: Sequence[str]) -> None:
        """Find where the person wears something; elsewhere take the cover off the back.

        weights (V, J), names of the joints.
        """
        gate = THICKNESS_ROUNDS[0][1]
        depth, _ = self._wishes(vertex_normals(self.vertices, self._faces), gate, gate)
        misfit = np.abs(np.sum(depth.normal * depth.move, axis=1))
        self._dressed = dressed(misfit, depth.weight, weights, names)
        off = (1 - self._dressed)[:, None] * self._cover
        self.vertices, self._body = self.vertices - off, self._body - off

    def find_thickness(self) -> None:
        """Grow cloth along the normals: one smooth scalar field, so that what sides and front show reaches the back."""
        base, normals = self.vertices, self.broad_normals()
        thickness = np.zeros(len(base))
        for length, gate, reach in THICKNESS_ROUNDS:
            self._tick("Finding the thickness of the clothes")
            current = vertex_normals(self.vertices, self._faces)
            depth, outline = self._wishes(current, gate, reach)
            far = self._far_wishes(current, gate)
            want, weight = np.zeros(len(base)), np.zeros(len(base))
            for wish, factor, least in ((depth, 1.0, 0.3), (outline, OUTLINE_WEIGHT, 0.5), (far, 1.0, 0.3)):
                cosine = np.sum(normals * wish.normal, axis=1)
                step = np.sum(wish.normal * wish.move, axis=1) / np.where(np.abs(cosine) > least, cosine, 1.0)
                share = np.where(np.abs(cosine) > least, factor * wish.weight, 0.0)
                want += share * np.clip(step, -MAX_STEP_M, MAX_STEP_M)
                weight += share
            target = thickness + want / np.maximum(weight, 1e-9)
            # Bare hands and face have no thickness: they hold the field at zero.
            total = weight + 2.0 * self._skin.bare
            target = target * weight / np.maximum(total, 1e-9)
            found = self._field.solve(target[:, None], total, length * self._skin.stiffness, stretch=0.3 * length)
            thickness = np.clip(found[:, 0], -0.03, 0.30)
            self.vertices = base + thickness[:, None] * normals
        self._thickness = self._thickness + thickness

    def bridge_hollows(self, weights: np.ndarray, names: Sequence[str]) -> None:
        """Lay cloth over the body's hollows where the person wears some; weights (V, J), names of the joints."""
        normals = self.broad_normals()
        hollows, bulges = taut_cloth(self.vertices, normals, self._field)
        height = hollows + levelling(self._thickness, weights, names) * bulges
        self.vertices = self.vertices + (self._dressed * height)[:, None] * normals

    def cap_toes(self, weights: np.ndarray, names: Sequence[str]) -> None:
        """Close shoes over the toes: last, since what is stretched over the gaps would fold in any later round."""
        self.vertices = self.vertices + self._dressed[:, None] * toe_caps(self.vertices, weights, names)

    def move_freely(self) -> None:
        """Displace vertices in space, coarse to fine, and calm folded triangles."""
        base = self.vertices
        pixel_m = float(np.median(base[:, 2])) / self._view.camera.fx
        for rounds, message in ((FREE_ROUNDS, "Draping"), (FINE_ROUNDS, "Draping the details")):
            for length, gate, reach in rounds:
                self._tick(message)
                depth, outline = self._wishes(vertex_normals(self.vertices, self._faces), gate, reach, HAND_SAY)
                along = np.sum(depth.normal * depth.move, axis=1, keepdims=True) * depth.normal
                trust = np.clip(NOISE_M / np.maximum(depth.noise, 1e-6), 0.25, 1.0) ** 4 if length < 0.02 else 1.0
                depth_weight = depth.weight * trust
                step = depth_weight[:, None] * along + OUTLINE_WEIGHT * outline.weight[:, None] * outline.move
                weight = depth_weight + OUTLINE_WEIGHT * outline.weight
                if self._far is not None and length >= FAR_LENGTH_M:
                    far = self._far_wishes(vertex_normals(self.vertices, self._faces), gate)
                    step += far.weight[:, None] * np.sum(far.normal * far.move, axis=1, keepdims=True) * far.normal
                    weight = weight + far.weight
                step = _clamped(step / np.maximum(weight, 1e-9)[:, None], MAX_STEP_M)
                # What nothing measures stays where the coarser rounds left it: else each tremor of the outline would
                # run round the back as a ripple.
                hold = HOLD if length < HOLD_BELOW_M else 0.0
                moved = self.vertices - base
                target = moved + step * (weight / np.maximum(weight + hold, 1e-9))[:, None]
                self.vertices = base + self._field.solve(
                    target, weight + hold, self._lengths(length, pixel_m), stretch=0.1 * length
                )
            self.vertices, _ = calm(self.vertices, self._faces, self._body, self._field)

    def _lengths(self, length: float, pixel_m: float) -> np.ndarray:
        """(V,) metres: how stiff each vertex is in a round of the given length."""
        skin = self._skin
        return np.maximum.reduce(
            [
                length * skin.stiffness,
                HAND_LENGTH_M * skin.bare,
                FOOT_LENGTH_M * skin.foot,
                max(FACE_LENGTH_PX * pixel_m, FACE_LENGTH_M) * skin.face,
            ]
        )

    def seen(self) -> np.ndarray:
        """(V,) 0..1: in view, facing the camera, and where there is depth lying on it."""
        normals = vertex_normals(self.vertices, self._faces)
        rays = Rays(self.vertices, self._faces)
        toward = -self.vertices / np.linalg.norm(self.vertices, axis=1, keepdims=True)
        facing = np.clip((np.sum(normals * toward, axis=1) - 0.1) / 0.3, 0, 1) * rays.visible()
        if self._view.depth is None:
            return facing * outline_inside(self._view, self.vertices)
        depth = self._depth_wishes(rays, normals, 0.04)
        off = np.abs(np.sum(depth.normal * depth.move, axis=1))
        return facing * np.clip((0.016 - off) / 0.008, 0, 1) * np.clip(depth.weight / 0.2, 0, 1)

    def _wishes(self, normals: np.ndarray, gate: float, reach: float, hands: float = 1.0) -> tuple[Wishes, Wishes]:
        """What depth and outline ask for; `hands` scales the say of the hands' own vertices."""
        rays = Rays(self.vertices, self._faces)
        depth = self._depth_wishes(rays, normals, gate)
        outline = outline_wishes(self._view, rays, normals, reach, max(gate, 0.10))
        say = 1 - (1 - hands) * self._skin.bare
        return _scaled(depth, say), _scaled(outline, say * (1 - (1 - FOOT_OUTLINE_SAY) * self._skin.foot))

    def _depth_wishes(self, rays: Rays, normals: np.ndarray, gate: float) -> Wishes:
        return depth_wishes(self._view, rays, normals, self._skin.joint, self._skin.neighbours, gate)

    def _far_wishes(self, normals: np.ndarray, gate: float) -> Wishes:
        """What the guessed far side asks for; hands and feet stay the body's."""
        rays, skin = Rays(self.vertices, self._faces), self._skin
        if self._far is None:
            none = np.zeros(len(normals))
            return Wishes(np.zeros_like(normals), none, np.zeros_like(normals), none)
        far = depth_wishes(self._view, rays, normals, skin.joint, skin.neighbours, min(gate, FAR_GATE_M), far=self._far)
        return _scaled(far, FAR_SAY * (1 - skin.bare) * (1 - skin.foot))

    def _tick(self, message: str) -> None:
        self._report(0.05 + 0.9 * self._done / self._rounds, message)
        self._done += 1


def _scaled(wishes: Wishes, factor: float | np.ndarray) -> Wishes:
    return Wishes(wishes.move, wishes.weight * factor, wishes.normal, wishes.noise)


def _clamped(move: np.ndarray, longest: float) -> np.ndarray:
    size = np.linalg.norm(move, axis=1, keepdims=True)
    return move * np.minimum(1.0, longest / np.maximum(size, 1e-12))


def _skin(fold: Folding, weights: np.ndarray) -> _Skin:
    names = fold.joint_names
    hand = weights[:, [n.endswith(("wrist", "hand")) for n in names]].sum(axis=1)
    foot = weights[:, [n.endswith(("ankle", "foot")) for n in names]].sum(axis=1)
    return _Skin(
        joint=np.argmax(weights, axis=1),
        neighbours=joint_neighbours(fold.parents, names),
        # Fingers are a centimetre thick: the field that drapes a coat would fold them at once.
        stiffness=1.0 + 4.0 * hand + 1.5 * foot,
        bare=hand,
        foot=foot,
        face=weights[:, [n == "head" for n in names]].sum(axis=1),
    )


def _largest_component(faces: np.ndarray, count: int) -> np.ndarray:
    """Indices of the vertices of the mesh's largest connected piece: the skin, without eyeballs and teeth."""
    pairs = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    return np.flatnonzero(labels == np.argmax(np.bincount(labels)))


def _submesh(faces: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Faces whose corners are all in the sorted indices `kept`, renumbered to it."""
    position = np.full(int(faces.max()) + 1, -1, np.int64)
    position[kept] = np.arange(len(kept))
    renamed = position[faces]
    return renamed[(renamed >= 0).all(axis=1)]


def _carry_along(vertices: np.ndarray, before: np.ndarray, main: np.ndarray) -> None:
    """Move the vertices outside `main` (eyeballs, teeth) with the skin around them, in place."""
    others = np.setdiff1d(np.arange(len(vertices)), main)
    if not len(others):
        return
    distance, near = cKDTree(before[main]).query(before[others], k=60)
    weight = 1 / (distance + 0.005)
    moved = (vertices - before)[main][near]
    vertices[others] = before[others] + np.sum(moved * weight[..., None], axis=1) / weight.sum(axis=1, keepdims=True)
