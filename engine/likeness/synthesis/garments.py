"""Garments cut to measure: sleeves, hems, legs and necklines, looseness, skirts, collars and open fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.cutting import border_loops, clip, flap, grow
from likeness.synthesis.figure import Floats
from likeness.synthesis.pieces import Piece, joined, pattern, tights
from likeness.synthesis.skeleton import dense_weights, strongest_four
from likeness.synthesis.smoothing import smooth_directions, smoothed
from likeness.synthesis.unwrap import unwrap
from likeness.synthesis.wearer import Measures, Wearer

MADE = "made"
ROW_M = 0.022
# Rise and outward offset in metres of a collar's rows: what stands, and what folds back over it.
COLLARS: dict[str, tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]] = {
    "stand": (((0.012, 0.001), (0.024, 0.0), (0.036, 0.001)), ()),
    "turtle": (((0.015, -0.004), (0.03, -0.008), (0.044, -0.01)),
               ((0.044, -0.01), (0.048, -0.004), (0.042, 0.002), (0.03, 0.004), (0.016, 0.007))),
    "fold": (((0.012, 0.0), (0.024, 0.0), (0.032, 0.001)),
             ((0.032, 0.001), (0.035, 0.005), (0.031, 0.011), (0.014, 0.02), (-0.004, 0.027))),
    "hood": (((0.015, 0.006), (0.028, 0.016), (0.034, 0.028)),
             ((0.034, 0.028), (0.036, 0.038), (0.03, 0.048), (0.012, 0.056), (-0.01, 0.056), (-0.034, 0.046))),
}  # fmt: skip
# Where a skirt leaves the body, 0 waist .. 1 crotch: above the seat, which it bridges.
SEAT = 0.42


@dataclass(frozen=True)
class Cut:
    """How a garment is cut; lengths as shares of the body, so that it fits anyone. None leaves the item as it is.

    sleeve: 0 shoulder .. 1 wrist, below 0 sleeveless. hem: of a top, 0 waist .. 1 crotch. waist: of a bottom, 0 hip ..
    1 waist. leg, skirt: 0 crotch .. 1 ankle. neck: depth of the neckline, m on an average adult; vee: its front is a V.
    loose: m off the skin, more away from waist and neck. drape: 0 follows the body .. 1 falls straight from it.
    flare: m of radius that a skirt gains each m. folds: their number round a skirt's hem. opening: half width of the
    open front, m. collar: '', 'stand', 'fold', 'turtle' or 'hood'. wide: m that legs and sleeves gain at their ends.
    """

    sleeve: float | None = None
    hem: float | None = None
    waist: float | None = None
    leg: float | None = None
    skirt: float | None = None
    neck: float | None = None
    vee: bool = False
    loose: float = 0.0
    drape: float = 0.0
    flare: float = 0.0
    folds: int = 0
    opening: float | None = None
    collar: str = ""
    wide: float = 0.0


def made_piece(wearer: Wearer, item: str, texture: str | None, part: str, cut: Cut, seed: int) -> Piece:
    """A garment on its wearer, before other garments push it. item: an id in the pack, or MADE for cloth of our own."""
    source = tights(wearer.pack) if item == MADE else pattern(wearer.pack, item, texture, part)
    piece = _trimmed(source.fitted(wearer.a_pose, wearer.rest), wearer.measures, cut, item == MADE)
    if cut.loose or cut.drape or cut.wide:
        piece = _loosened(piece, wearer, cut)
    if cut.skirt is not None and item == MADE:
        piece = _skirted(piece, wearer, cut, seed)
    if cut.collar:
        piece = _collared(piece, wearer.measures, cut.collar)
    if item == MADE:
        piece = unwrap(piece, wearer.measures, cut.leg is not None)
    return piece


def opened(piece: Piece, wearer: Wearer, opening: float) -> Piece:
    """Cut the front along the midline and open it by half a width in metres, wider downwards."""
    vertices, top = piece.vertices, wearer.measures.neck
    depth = np.clip((top - vertices[:, 1]) / wearer.measures.size, 0, None)
    half = opening * (0.35 + 1.2 * depth)
    front = vertices[:, 2] > wearer.envelope.axis - 0.01
    return clip(piece, np.where(front, np.abs(vertices[:, 0]) - half, np.abs(vertices[:, 0]) + 0.05))


def hang(piece: Piece, wearer: Wearer) -> Piece:
    """Slack by how far the cloth is off the skin: what lies on is glued, what is 3 cm off hangs."""
    off = wearer.off_skin(piece.vertices)[0]
    share = np.clip((off - 0.008) / 0.03, 0, 1)
    held = np.clip((wearer.measures.neck - 0.03 - piece.vertices[:, 1]) / 0.12, 0, 1)
    return piece.with_slack(smoothed(share * held * (3 - 2 * share) * share, piece, 2))


def _trimmed(piece: Piece, at: Measures, cut: Cut, made: bool) -> Piece:
    if cut.hem is not None or (made and cut.leg is None):
        share = SEAT if cut.skirt is not None else 1.0 if cut.hem is None else cut.hem
        bottom = at.waist + min(share, 1.0) * (at.crotch + 0.02 * at.size - at.waist)
        piece = clip(piece, piece.vertices[:, 1] - bottom)
    if cut.leg is not None:
        bottom = at.crotch + cut.leg * (at.ankle - at.crotch)
        piece = clip(piece, piece.vertices[:, 1] - bottom)
    if cut.waist is not None:
        top = at.hip + cut.waist * (at.waist - at.hip) + 0.02 * at.size
        piece = clip(
            piece, np.where(np.abs(piece.vertices[:, 0]) > at.shoulder_x * 1.6, -1, top - piece.vertices[:, 1])
        )
    if cut.sleeve is not None:
        piece = clip(piece, _sleeve_field(piece, at, cut.sleeve))
    if cut.neck is not None:
        piece = clip(piece, _neck_field(piece.vertices, at, cut.neck * at.size, cut.vee))
    return piece


def _sleeve_field(piece: Piece, at: Measures, share: float) -> NDArray:
    reach = np.abs(piece.vertices[:, 0])
    if share > 0.02:
        return at.shoulder_x + share * (at.wrist_x - at.shoulder_x) - reach
    # The armhole: a plane that leans towards the neck, above the armpit only.
    y = piece.vertices[:, 1]
    hole = at.shoulder_x * (1.06 + 0.6 * share) - 0.25 * np.clip(y - at.armpit, 0, None) - reach
    return np.where(y > at.armpit - 0.02 * at.size, hole, np.maximum(hole, at.shoulder_x * 1.3 - reach))


def _neck_field(vertices: Floats, at: Measures, depth: float, vee: bool) -> NDArray:
    x, y, z = vertices.T
    ahead = z - at.neck_z
    plane = at.neck - 0.3 * ahead - 0.005 - y
    deep = 1.0 if vee else 0.8
    slope = 1.6 if vee else 0.0
    front = at.neck + 0.02 - depth * deep + slope * np.abs(x) + (0 if vee else 14 * x**2) - y
    return np.where(np.abs(x) > at.shoulder_x, 1.0, np.minimum(plane, front + 6 * np.clip(0.01 - ahead, 0, None)))


def _loosened(piece: Piece, wearer: Wearer, cut: Cut) -> Piece:
    """Moved off the skin along smooth normals; what drapes falls straight from the widest place above it."""
    at, vertices = wearer.measures, piece.vertices
    normals = smooth_directions(piece)
    from_neck = np.hypot(vertices[:, 0], np.clip(at.neck - vertices[:, 1], 0, None) * 0.8)
    ramp = np.clip((from_neck - 0.06) / 0.12, 0, 1)
    if cut.waist is not None:
        ramp = np.clip((at.hip + cut.waist * (at.waist - at.hip) - vertices[:, 1]) / 0.14, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    if wearer.worn:
        # Over other clothes nothing lies on the skin.
        ramp = np.maximum(ramp, 0.35)
    amount = cut.loose * ramp
    reach = np.abs(vertices[:, 0])
    arm = np.clip((reach - at.shoulder_x * 1.1) / (at.wrist_x - at.shoulder_x), 0, 1)
    leg = np.clip((at.crotch - vertices[:, 1]) / (at.crotch - at.ankle), 0, 1)
    amount = amount + cut.wide * np.maximum(arm, leg)
    moved = vertices + normals * amount[:, None].astype(np.float32)
    # Loose sleeves hang below the arm.
    moved[:, 1] -= (0.45 * amount * (arm > 0)).astype(np.float32)
    if cut.loose > 0.0015:
        moved = _bridged(moved, wearer, 0.85 if cut.leg is None else 0.6)
    if cut.drape:
        moved = _draped(moved, wearer, cut, arm)
        if cut.leg is not None:
            moved = _fallen_legs(moved, at, cut.drape)
    if cut.leg is not None:
        # Both legs stay on their side.
        low = vertices[:, 1] < at.crotch + 0.01
        side = np.sign(vertices[:, 0])
        moved[:, 0] = np.where(low, side * np.maximum(side * moved[:, 0], 0.003), moved[:, 0])
    return piece.moved(smoothed(moved, piece, 2))


def _bridged(vertices: Floats, wearer: Wearer, amount: float) -> Floats:
    """Cloth spans hollows of the seat instead of following them in."""
    at = wearer.measures
    angle, radius = wearer.envelope.polar(vertices)
    lacking = np.clip(wearer.envelope.at(angle, vertices[:, 1]) + 0.004 - radius, 0, 0.05)
    y = vertices[:, 1]
    share = amount * np.clip((at.waist + 0.04 - y) / 0.1, 0, 1) * np.clip((y - at.crotch + 0.01) / 0.03, 0, 1)
    share = share * (np.abs(vertices[:, 0]) < at.shoulder_x * 1.5)
    placed = wearer.envelope.place(angle, radius + share * lacking, y)
    return np.where((share * lacking > 0)[:, None], placed, vertices).astype(np.float32)


def _draped(vertices: Floats, wearer: Wearer, cut: Cut, arm: NDArray) -> Floats:
    at = wearer.measures
    held = at.armpit + 0.02 if cut.waist is None else at.hip + cut.waist * (at.waist - at.hip) - 0.02
    falling = wearer.envelope.below(held)
    angle, radius = wearer.envelope.polar(vertices)
    wanted = np.maximum(radius, falling.at(angle, vertices[:, 1]) + 0.3 * cut.loose)
    below = np.clip((held - vertices[:, 1]) / 0.1, 0, 1) * (arm <= 0)
    if cut.leg is not None:
        below = below * np.clip((vertices[:, 1] - at.crotch + 0.03) / 0.08, 0, 1)
    radius = radius + (wanted - radius) * cut.drape * below
    placed = wearer.envelope.place(angle, radius, vertices[:, 1])
    return np.where((below > 0)[:, None], placed, vertices).astype(np.float32)


def _fallen_legs(vertices: Floats, at: Measures, drape: float) -> Floats:
    """Trouser legs that fall from thigh and calf instead of following the leg inwards."""
    out = vertices.copy()
    top = at.crotch - 0.06 * at.size
    for side in (-1, 1):
        mine = np.flatnonzero((vertices[:, 0] * side > 0) & (vertices[:, 1] < top))
        if len(mine) < 30:
            continue
        points = vertices[mine].astype(np.float64)
        row = ((top - points[:, 1]) / 0.03).astype(int)
        count = np.maximum(np.bincount(row), 1)
        middle = np.stack([np.bincount(row, points[:, axis]) / count for axis in (0, 2)], 1)
        # Empty rows of the shortest trousers are none: the rows are wider than the mesh's.
        across = points[:, [0, 2]] - middle[row]
        radius, sector = np.linalg.norm(across, axis=1), (np.arctan2(*across.T) / (2 * np.pi) * 16).astype(int) % 16
        widest = np.zeros((row.max() + 1, 16))
        np.maximum.at(widest, (row, sector), radius)
        widest = np.maximum.accumulate(widest, 0)
        widest = (np.roll(widest, 1, 1) + 2 * widest + np.roll(widest, -1, 1)) / 4
        wanted = np.maximum(widest[row, sector] * (1 - 0.12 * row / row.max()), radius)
        grown = 1 + drape * (wanted / np.maximum(radius, 1e-6) - 1)
        out[mine[:, None], [0, 2]] = middle[row] + across * grown[:, None]
    return out


def _skirted(piece: Piece, wearer: Wearer, cut: Cut, seed: int) -> Piece:
    """A skirt grown from the lowest border down to its length."""
    at = wearer.measures
    loops = [loop for loop in border_loops(piece.faces) if np.abs(piece.vertices[loop, 0]).max() < at.shoulder_x * 2]
    if not loops:
        return piece
    loop = min(loops, key=lambda found: float(piece.vertices[found, 1].mean()))
    start = piece.vertices[loop]
    bottom = at.crotch + (cut.skirt or 0.0) * (at.ankle - at.crotch)
    height = float(start[:, 1].mean())
    count = max(int(round((height - bottom) / ROW_M)), 1)
    falling = wearer.envelope.below(height + 0.1)
    angle, radius = wearer.envelope.polar(start)
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, 3)
    wave = (
        sum(np.cos(max(cut.folds + k, 1) * angle + phases[k]) * (1.0, 0.5, 0.35)[k] for k in range(3))
        if cut.folds
        else np.zeros_like(angle)
    )
    rows = []
    clear = np.maximum(radius - falling.at(angle, start[:, 1]), 0.006)
    for row in range(1, count + 1):
        y = start[:, 1] + (bottom - start[:, 1]) * row / count
        depth = height - y
        body = falling.at(angle, y) + clear
        spread = cut.flare * depth
        ease = np.clip(depth / 0.1, 0, 1)
        wanted = np.maximum(body, radius + (body - radius) * ease) + spread
        wanted = wanted + (0.22 * spread + 0.006 * ease) * wave * np.clip(depth / 0.25, 0, 1)
        rows.append(wearer.envelope.place(angle, np.maximum(wanted, body), y))
    grown = grow(piece, loop, rows)
    return _hung_weights(grown, len(piece.vertices), at)


def _hung_weights(piece: Piece, first: int, at: Measures) -> Piece:
    """Skirt vertices, `first` and after, follow both legs and the pelvis smoothly."""
    x, y = piece.vertices[first:, 0], piece.vertices[first:, 1]
    weights = np.zeros((len(x), 52), np.float32)
    depth = np.clip((at.hip - y) / (at.hip - at.knee), 0, 1.6)
    legs = 0.75 * np.clip(depth, 0, 1)
    left = np.clip(0.5 + x / 0.24, 0, 1)
    shin = 0.45 * np.clip((at.knee + 0.05 - y) / 0.3, 0, 1)
    for side, (thigh, knee) in ((left, (1, 4)), (1 - left, (2, 5))):
        weights[:, thigh], weights[:, knee] = legs * side * (1 - shin), legs * side * shin
    weights[:, 0] = 1 - legs
    blend = np.clip((at.hip - y) / 0.1, 0, 1)[:, None].astype(np.float32)
    own = dense_weights(piece.skin_joints[first:], piece.skin_weights[first:])
    joints, values = strongest_four(own * (1 - blend) + weights * blend)
    skin_joints, skin_weights = piece.skin_joints.copy(), piece.skin_weights.copy()
    skin_joints[first:], skin_weights[first:] = joints, values
    return replace(piece, skin_joints=skin_joints, skin_weights=skin_weights)


def _collared(piece: Piece, at: Measures, collar: str) -> Piece:
    """A collar grown from the neck's border."""
    loops = [loop for loop in border_loops(piece.faces) if piece.vertices[loop, 1].mean() > at.armpit + 0.05]
    loops = [loop for loop in loops if np.abs(piece.vertices[loop, 0]).max() < at.shoulder_x]
    if not loops:
        return piece
    loop = max(loops, key=lambda found: float(piece.vertices[found, 1].mean()))
    base = piece.vertices[loop].astype(np.float64)
    out = base - [0, 0, at.neck_z]
    out[:, 1] = 0
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    back = np.clip(0.5 - 0.6 * out[:, 2:], 0, 1)
    up = np.array([0.0, 1.0, 0.0])
    share = 0.35 + 0.65 * back if collar == "hood" else np.ones_like(back)
    longer = 1 + 1.6 * back if collar == "hood" else np.ones_like(back)

    def rows(steps: Sequence[tuple[float, float]]) -> list[NDArray]:
        return [base + at.size * longer * (up * rise + out * outward * share) for rise, outward in steps]

    stand, folded = COLLARS[collar]
    grown = grow(piece, loop, rows(stand))
    return joined([grown, flap(piece, loop, rows(folded))]) if folded else grown
