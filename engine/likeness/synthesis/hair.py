"""Hair with volume: a scalp under the pack's cards, cropped and curly shapes of our own, and beards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from likeness.synthesis.cutting import border_loops, clip, grow
from likeness.synthesis.figure import Bytes, Floats
from likeness.synthesis.hair_colors import HairColor, recolor_hair
from likeness.synthesis.noise import noise_2d, noise_3d
from likeness.synthesis.pack import Pack
from likeness.synthesis.pieces import Pattern, Piece, pattern, skin_pattern
from likeness.synthesis.skeleton import dense_weights, strongest_four
from likeness.synthesis.smoothing import smooth_directions
from likeness.synthesis.wearer import Wearer

# Shapes of our own: thickness in metres at the sides and on top, height of the noise as a share of it, curliness 0..1.
VOLUMES: dict[str, tuple[float, float, float, float]] = {
    "buzz": (0.0025, 0.0035, 0.2, 0.6),
    "crop": (0.006, 0.022, 0.35, 0.3),
    "curls": (0.020, 0.034, 0.6, 1.0),
    "afro": (0.050, 0.062, 0.3, 1.0),
    "straight": (0.009, 0.016, 0.2, 0.0),
    "wavy": (0.014, 0.022, 0.4, 0.35),
}
# Shapes whose hair hangs down from the scalp, by up to so many metres for length 1.
HANGING_M = {"straight": 0.22, "wavy": 0.18}
BEARDS = {"full": 0.010, "goatee": 0.006, "moustache": 0.004, "short": 0.003}
STYLE_WORDS = {"straight": "long straight", "wavy": "long wavy",
               "buzz": "very short", "crop": "short", "curls": "short curly", "afro": "afro", "Braid01": "braided",
               "afro01": "afro", "bob01": "chin-length", "long01": "long", "ponytail01": "tied", "short01": "short",
               "short02": "short", "short03": "short", "short04": "short"}  # fmt: skip
_EYE_Y = 0.7284
# Vertices of the smallest tuft that stands alone.
CRUMB = 60
_CENTER = np.array([0.0, 0.755, 0.045])


@dataclass(frozen=True)
class Hair:
    """Hair and beard. style: an id in the pack, a key of VOLUMES, or '' for a bald head. length: scales the volume.
    color: a `HairColor` as plain JSON types. beard: a key of BEARDS or ''; beard_length scales it."""

    style: str
    color: dict[str, Any]
    length: float = 1.0
    beard: str = ""
    beard_length: float = 1.0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @property
    def words(self) -> str:
        """The style's adjective."""
        return STYLE_WORDS.get(self.style, "short")


@dataclass(frozen=True)
class Shock:
    """A textured part of the hair: piece, color (H, W, 3) u8, alpha (H, W) u8 or None, kind 'hair' or 'beard'."""

    name: str
    kind: str
    piece: Piece
    color: Bytes
    alpha: Bytes | None


def grown_hair(wearer: Wearer, hair: Hair) -> list[Shock]:
    """All hair of a person."""
    color = HairColor.from_dict(hair.color)
    shocks = []
    if hair.style in VOLUMES:
        side, top, rough, curl = VOLUMES[hair.style]
        shell = _volume(wearer, side * hair.length, top * hair.length, rough, hair.seed, 0.0)
        if hair.style in HANGING_M:
            shell = _hanging(wearer, shell, HANGING_M[hair.style] * hair.length, curl, hair.seed)
        shocks.append(Shock("scalp", "hair", shell, _strands(color, curl, hair.seed), None))
        if hair.style in ("curls", "afro"):
            fuzz = shell.moved(shell.vertices + shell.normals * 0.007)
            shocks.append(Shock("fuzz", "hair", fuzz, _strands(color, curl, hair.seed + 1), _fuzz(0.4, hair.seed)))
    elif hair.style:
        under = _volume(wearer, 0.002, 0.003, 0.1, hair.seed, 0.006)
        shocks.append(Shock("scalp", "hair", under, _strands(color, 0.0, hair.seed), None))
        cards = pattern(wearer.pack, hair.style, None, "all", False)
        shocks.append(
            Shock(hair.style, "hair", _cards(wearer, cards), _dyed(wearer.pack, hair.style, color), cards.alpha)
        )
    if hair.beard:
        shell = _beard(wearer, hair.beard, BEARDS[hair.beard] * hair.beard_length, hair.seed)
        shocks.append(Shock("beard", "beard", shell, _strands(color, 0.7, hair.seed + 2), None))
        fuzz = shell.moved(shell.vertices + shell.normals * 0.003)
        shocks.append(
            Shock("beard ends", "beard", fuzz, _strands(color, 0.7, hair.seed + 3), _fuzz(0.45, hair.seed + 1))
        )
    return [shock for shock in shocks if len(shock.piece.faces)]


def _dyed(pack: Pack, style: str, color: HairColor) -> Bytes:
    cards = pattern(pack, style, None, "all", False)
    return recolor_hair(cards.color, color, cards.alpha)


def _cards(wearer: Wearer, cards: Pattern) -> Piece:
    """Hair cards outside the skin, and long ones outside the trunk."""
    piece = cards.fitted(wearer.a_pose, wearer.rest)
    off, normal = wearer.off_skin(piece.vertices)
    # Roots may stay in the scalp: the shell covers it.
    lacking = np.where(piece.vertices[:, 1] < wearer.measures.neck + 0.1, np.clip(0.004 - off, 0, 0.03), 0)
    return piece.moved(piece.vertices + normal * lacking[:, None])


@lru_cache(maxsize=2)
def _head(pack: Pack) -> tuple[Pattern, Floats, Floats]:
    """The head's skin, refined; where its vertices are on the unshaped base mesh; and how far above the hairline."""
    base = pack.base
    points = base["verts"]
    made = skin_pattern(pack, (points[:, 1] > 0.59) & (np.linalg.norm(points - _CENTER, axis=1) < 0.185))
    at = made.refine @ points[made.ref[:, 0]]
    x, y, z = np.abs(at[:, 0]), at[:, 1], at[:, 2]
    line = np.where(z > 0.045, 0.750 + 0.62 * (z - 0.045), 0.750 + 1.0 * (z - 0.045))
    line = np.maximum(line, 0.670)
    # Sideburns come down before the ears, which stay free.
    line = line - 0.03 * np.exp(-(((z - 0.072) / 0.013) ** 2)) * np.clip((x - 0.055) / 0.01, 0, 1)
    ear = 0.077 - x + 0.5 * np.clip(y - 0.742, 0, None)
    return made, at.astype(np.float32), np.minimum(y - line, np.where(y < 0.76, 1.5 * ear, 1.0)).astype(np.float32)


def _volume(wearer: Wearer, side: float, top: float, rough: float, seed: int, inset: float) -> Piece:
    """The scalp moved outwards by the hair's thickness, thin at the hairline."""
    made, at, above = _head(wearer.pack)
    piece = _with_uvs(made.fitted(wearer.a_pose, wearer.rest), at)
    jag = 0.004 * (noise_3d(at * np.float32(160), seed) - 0.5) + 0.006 * (noise_3d(at * np.float32(45), seed + 1) - 0.5)
    field = above - inset + jag
    high = np.clip((at[:, 1] - 0.76) / 0.08, 0, 1)
    thick = (side + (top - side) * high) * np.sqrt(np.clip(field / (0.012 + 0.5 * side), 0.02, 1))
    clumps = 0.7 * noise_3d(at * np.float32(55), seed + 2) + 0.3 * noise_3d(at * np.float32(150), seed + 3)
    thick = thick * (1 + rough * (clumps - 0.5))
    out = at - _CENTER
    # Thick hair grows away from the head's middle, or its front would hang over the face.
    radial = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    share = np.clip(side / 0.03, 0, 1)
    direction = smooth_directions(piece, 3) * (1 - share) + radial * share
    return _whole(clip(piece.moved(piece.vertices + direction * (thick + 0.0015)[:, None]), field))


def _hanging(wearer: Wearer, scalp: Piece, length: float, curl: float, seed: int) -> Piece:
    """Hair that falls from the scalp's border at the sides and behind, open at the face."""
    loops = border_loops(scalp.faces)
    if not loops:
        return scalp
    loop, at = loops[0], wearer.measures
    base = scalp.vertices[loop].astype(np.float64)
    head = wearer.rest.joints[15].astype(np.float64)
    out = base - head
    angle = np.abs(np.arctan2(out[:, 0], out[:, 2]))
    out[:, 1] = 0
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    # From the temples backwards; all ends come to one height.
    side = np.clip((angle - 1.35) / 0.35, 0, 1)
    side = side * side * (3 - 2 * side)
    end = head[1] - 0.02 * at.size - length * at.size + 0.01 * noise_2d(angle * 9, base[:, 0] * 0, seed % 997)
    drop = np.clip(base[:, 1] - end, 0.0, None) * side
    count = max(int(np.ceil(drop.max() / 0.012)), 1)
    rows = []
    for row in range(1, count + 1):
        share = row / count
        depth = (drop * share)[:, None]
        wave = curl * 0.012 * np.sin(depth * 55 + 6 * noise_2d(angle * 5, angle * 0, seed % 991)[:, None])
        # The scalp above is thicker than its border: hair comes out level with it.
        ease = 0.016 * np.clip(depth / 0.025, 0, 1) * side[:, None]
        rows.append(base - np.array([0.0, 1.0, 0.0]) * depth + out * (ease + wave * side[:, None]))
    grown = grow(scalp, loop, rows)
    corners = grown.vertices[grown.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    first = len(scalp.faces)
    size = len(loop)
    # Strands run down the texture: longitude along the border, the rest of the height below it.
    u = np.tile(np.linspace(0, 1, size), (count + 1, 1))
    v = np.repeat(np.linspace(0.35, 0.02, count + 1)[:, None], size, 1)
    ring = np.full((len(grown.vertices), 2), 0.0, np.float32)
    ring[loop] = np.stack([u[0], v[0]], 1)
    ring[len(scalp.vertices) :] = np.stack([u[1:], v[1:]], 2).reshape(-1, 2)
    uvs = grown.corner_uvs.copy()
    uvs[first:] = ring[grown.faces[first:]]
    bound = _moves_with(wearer, replace(grown, corner_uvs=uvs), len(scalp.vertices))
    return bound.only(area > 1e-9)


def _moves_with(wearer: Wearer, piece: Piece, first: int) -> Piece:
    """Vertices from `first` on pass from the head to the skin beneath them, the lower the more."""
    count, at = wearer.skin_count, wearer.measures
    points = piece.vertices[first:]
    distance, near = cKDTree(wearer.skin).query(points, k=12)
    share = 1 / (distance + 0.03) ** 2
    share /= share.sum(1, keepdims=True)
    body = dense_weights(wearer.rest.skin_joints[:count], wearer.rest.skin_weights[:count])
    low = np.clip((at.neck + 0.06 * at.size - points[:, 1]) / (0.16 * at.size), 0, 1)[:, None]
    own = dense_weights(piece.skin_joints[first:], piece.skin_weights[first:])
    joints, weights = strongest_four(own * (1 - low) + np.einsum("nk,nkj->nj", share, body[near]) * low)
    skin_joints, skin_weights = piece.skin_joints.copy(), piece.skin_weights.copy()
    skin_joints[first:], skin_weights[first:] = joints, weights
    return replace(piece, skin_joints=skin_joints, skin_weights=skin_weights)


def _beard(wearer: Wearer, style: str, length: float, seed: int) -> Piece:
    made, at, _ = _head(wearer.pack)
    x, height, z = np.abs(at[:, 0]), at[:, 1] - _EYE_Y, at[:, 2]
    jaw = np.minimum((-0.040 - height) / 0.03 + 0.25 * np.clip(x / 0.06, 0, 1), (height + 0.13) / 0.03)
    cheek = np.exp(-(((x - 0.036) / 0.018) ** 2) - ((height + 0.045) / 0.018) ** 2)
    lips = np.exp(-((x / 0.026) ** 4) - ((height + 0.073) / 0.010) ** 4)
    grows = np.clip(jaw, -1, 1) * (1 - np.clip(1.3 * cheek, 0, 1)) * (1 - lips)
    grows = np.minimum(grows, (z - 0.048) / 0.02)
    chin = np.exp(-((x / 0.03) ** 2) - ((height + 0.1) / 0.03) ** 2)
    if style == "goatee":
        grows = np.minimum(grows, (0.03 - x) / 0.012)
    elif style == "moustache":
        grows = np.minimum(grows, np.minimum((0.033 - x) / 0.012, (height + 0.07) / 0.01))
    field = grows - 0.3 + 0.3 * (noise_3d(at * np.float32(300), seed) - 0.5)
    piece = _with_uvs(made.fitted(wearer.a_pose, wearer.rest), at)
    thick = length * np.sqrt(np.clip(field / 0.5, 0.03, 1)) * (1 + 0.9 * chin)
    thick = thick * (0.75 + 0.5 * noise_3d(at * np.float32(120), seed + 1))
    direction = smooth_directions(piece, 2) + np.array([0, -0.5, 0.1], np.float32)
    return _whole(clip(piece.moved(piece.vertices + direction * (thick + 0.001)[:, None].astype(np.float32)), field))


def _whole(piece: Piece) -> Piece:
    """Without crumbs: only connected parts that are worth seeing."""
    count, edges = len(piece.vertices), np.concatenate([piece.faces[:, [0, 1]], piece.faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    return piece.only((np.bincount(label) > CRUMB)[label[piece.faces[:, 0]]])


def _with_uvs(piece: Piece, at: Floats) -> Piece:
    """UVs by longitude and latitude about the crown, so that strands run down from it."""
    out = (at - _CENTER)[piece.faces]
    longitude = np.arctan2(out[..., 0], out[..., 2])
    turn = longitude[:, 1:] - longitude[:, :1]
    longitude[:, 1:] = longitude[:, :1] + (turn + np.pi) % (2 * np.pi) - np.pi
    latitude = np.arccos(np.clip(out[..., 1] / np.maximum(np.linalg.norm(out, axis=2), 1e-6), -1, 1))
    uvs = np.stack([longitude / (2 * np.pi) * 0.9 + 0.5, 1 - latitude / np.pi], 2).astype(np.float32)
    return replace(piece, corner_uvs=uvs)


def _strands(color: HairColor, curl: float, seed: int, size: int = 256) -> Bytes:
    row, column = (axis.ravel() for axis in np.mgrid[:size, :size].astype(np.float32) / size)
    straight = noise_2d(column * 150, row * 7, seed % 9973)
    curly = noise_2d(column * 60, row * 60, seed % 9967)
    wide = noise_2d(column * 12, row * 5, seed % 9949)
    shade = 0.55 + 0.5 * ((1 - curl) * straight + curl * curly) + 0.3 * (wide - 0.5)
    gray = np.clip(shade * 110, 10, 230).reshape(size, size, 1)
    return recolor_hair(np.repeat(gray, 3, 2).astype(np.uint8), color)


def _fuzz(share: float, seed: int, size: int = 256) -> Bytes:
    """Coverage (H, W) of loose ends: only some of the surface."""
    row, column = (axis.ravel() for axis in np.mgrid[:size, :size].astype(np.float32) / size)
    value = noise_2d(column * 110, row * 110, seed % 9941)
    return ((value < np.quantile(value, share)) * np.uint8(255)).reshape(size, size).astype(np.uint8)
