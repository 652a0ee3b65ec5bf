"""Colours for what the picture does not show.

Beside a seen place the picture itself is the best guess (photo.suggestion). Farther on, each region of the body wears
at one height what the picture shows of it at that height, print and shadow left out (Profiles). The head is its own
matter: hair behind, never a second face; its hidden side mirrors the seen one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy import ndimage
from scipy.spatial import cKDTree

from .geometry import edges, uniform_laplacian
from .limbs import MIRRORED, REGIONS
from .photo import Photo, ramp

_FADE_M = 0.035
_HEAD_FADE_M = 0.012
_TONE_M = 0.03
_SHORT_NAPE = 0.15
_TELL_APART = 45.0
_BAND_M = 0.015
_CALM_BANDS = 11
_SEEN = 0.5
_MANY = 20
_FEW = 5
_SIDES = 0.7
_NO_COLOUR = 128.0
_HEAD, _TORSO, _ARM = (REGIONS.index(n) for n in ("head", "torso", "left_arm"))
_HANDS = (REGIONS.index("left_hand"), REGIONS.index("right_hand"))
_TRUNK = (_TORSO, REGIONS.index("left_leg"), REGIONS.index("right_leg"))


@dataclass(frozen=True)
class RestBody:
    """What the filler knows of the body under the surface.

    positions (V, 3) f64 rest frame, metres; faces (F, 3); regions (V, R) weights in limbs.REGIONS; hands, skull (V,)
    weights of the hand and head joints; cheeks (V,): 1 on the lower half of the face; chin (3,), crown (3,): rest
    positions; crotch: its rest height.
    """

    positions: np.ndarray
    faces: np.ndarray
    regions: np.ndarray
    hands: np.ndarray
    skull: np.ndarray
    cheeks: np.ndarray
    chin: np.ndarray
    crown: np.ndarray
    crotch: float

    def at_pixels(self, photo: Photo, values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Vertex values (V, C) at the surface points that these pixels show -> (N, C)."""
        corner = self.faces[photo.face[rows, columns]]
        return np.einsum("nk,nkc->nc", photo.barycentric[rows, columns], values[corner])


@dataclass(frozen=True)
class Profiles:
    """Per region the seen colour along the region: height in the rest pose, for arms and hands the way outwards.

    colours (R, B, 3) f32 0..255 at `centres` (B,) metres.
    """

    centres: np.ndarray
    colours: np.ndarray

    def at(self, positions: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Rest positions (N, 3), region weights (N, R) -> (N, 3) f32 0..255."""
        out = np.zeros((len(positions), 3), np.float32)
        for region in range(len(REGIONS)):
            rows = np.nonzero(regions[:, region] > 1e-3)[0]
            if len(rows):
                place = _along(positions[rows], region)
                colour = np.stack([np.interp(place, self.centres, self.colours[region, :, c]) for c in range(3)], 1)
                out[rows] += regions[rows, region : region + 1] * colour.astype(np.float32)
        return out / np.maximum(regions.sum(1, keepdims=True), 1e-6)


def read_profiles(photo: Photo, body: RestBody) -> Profiles:
    """Medians of the picture over bands of each region; regions that are hidden take their mirror image's."""
    rows, columns = np.nonzero((photo.face >= 0) & (photo.trust > 0.02))
    colour = photo.color[rows, columns].astype(np.float32)
    trust = photo.trust[rows, columns]
    position = body.at_pixels(photo, body.positions, rows, columns)
    region = body.at_pixels(photo, body.regions, rows, columns).argmax(1) if len(rows) else np.zeros(0, int)
    reach = float(np.abs(body.positions).max()) + _BAND_M
    count = int(np.ceil(2 * reach / _BAND_M))
    centres = (np.arange(count) + 0.5) * _BAND_M - reach
    place = np.stack([_along(position, index) for index in (_TORSO, _ARM)], 1)
    band = ((place + reach) / _BAND_M).astype(int)
    out = np.full((len(REGIONS), count, 3), np.nan, np.float32)
    for index, name in enumerate(REGIONS):
        mine = np.nonzero(region == index)[0]
        out[index] = _bands(colour[mine], trust[mine], band[mine, int(_outwards(name))], count)
    # Above the crotch torso and thighs wear the same thing: one hem all around.
    trunk = np.nonzero(np.isin(region, _TRUNK))[0]
    pooled = _bands(colour[trunk], trust[trunk], band[trunk, 0], count, np.abs(position[trunk, 0]))
    high = (centres > body.crotch) & ~np.isnan(pooled[:, 0])
    for index in _TRUNK:
        out[index, high] = pooled[high]
    skin, hidden = _pixel_median(photo, body, body.cheeks), np.isnan(out[list(_HANDS), :, 0]).all()
    out = _completed(out, np.median(colour, axis=0) if len(colour) else np.full(3, _NO_COLOUR))
    if skin is not None and hidden:
        # Hands behind the back are as bare as the face, whatever the sleeves are.
        out[list(_HANDS)] = skin
    return Profiles(centres, out)


def _bands(
    colour: np.ndarray, trust: np.ndarray, band: np.ndarray, count: int, aside: np.ndarray | None = None
) -> np.ndarray:
    """Pixels' colours (N, 3), trust (N,), band (N,) -> (count, 3) medians; not a number where there are too few.

    aside (N,): how far from the body's middle; then the outermost of a band decide, which the far side continues: a
    print, a tie, what shows in an open jacket are in the middle.
    """
    out = np.full((count, 3), np.nan, np.float32)
    order = np.argsort(band, kind="stable")
    for group in np.split(order, np.nonzero(np.diff(band[order]))[0] + 1):
        sure = group[trust[group] > 0.5]
        chosen = sure if len(sure) >= _MANY else group
        if aside is not None and len(chosen) >= _MANY:
            chosen = chosen[aside[chosen] >= np.quantile(aside[chosen], _SIDES)]
        if len(chosen) >= _FEW:
            out[band[chosen[0]]] = np.median(colour[chosen], axis=0)
    return out


def _completed(colours: np.ndarray, average: np.ndarray) -> np.ndarray:
    """A band without a colour takes that of the mirror image, of what else is at its height, or of its neighbours."""
    out = colours.copy()
    for index, other in enumerate(MIRRORED):
        alike = [i for i, name in enumerate(REGIONS) if _outwards(name) == _outwards(REGIONS[index])]
        for source in (other, *alike):
            gap = np.isnan(out[index, :, 0])
            out[index, gap] = colours[source, gap]
        known = ~np.isnan(out[index, :, 0])
        if not known.any():
            out[index] = average
            continue
        for channel in range(3):
            out[index, :, channel] = np.interp(np.arange(len(known)), np.nonzero(known)[0], out[index, known, channel])
    # Creases and shadows come and go within a hand's width; the ends of sleeves and trousers stay where they are.
    calm = ndimage.median_filter(out, (1, _CALM_BANDS, 1), mode="nearest")
    return ndimage.gaussian_filter1d(calm, 0.4, axis=1, mode="nearest")


def _along(positions: np.ndarray, region: int) -> np.ndarray:
    """(N,) metres: where along its region a rest position lies."""
    return np.abs(positions[:, 0]) if _outwards(REGIONS[region]) else positions[:, 1]


def _outwards(region: str) -> bool:
    return "arm" in region or "hand" in region


@dataclass(frozen=True)
class Overrides:
    """Per vertex: colour (V, 3) f32 0..255 that the head wants, by how much (`share`), `depth` into the unseen, and how
    much it is of the far side (`far`).

    share, depth and far (V,) f32 0..1 are 0 at seen vertices and fade in over a few centimetres, so that no seam shows.
    """

    colour: np.ndarray
    share: np.ndarray
    depth: np.ndarray
    far: np.ndarray


def read_overrides(
    photo: Photo, captured: np.ndarray, visible: np.ndarray, body: RestBody, last: np.ndarray
) -> Overrides:
    """captured (V, 3) camera space; visible, last (V,) 0..1: how well the picture shows a vertex, and how far it is on
    the person's far side, whose colours somebody else guesses -> Overrides."""
    colour = photo.suggestion(captured, body.regions)
    share = np.zeros(len(captured))
    seen = visible > _SEEN
    _mirrored_head(photo, captured, seen, body, colour, share)
    _head(photo, seen, body, colour, share)
    depth = _faded(np.ones((len(share), 1)), seen, body, _FADE_M)[:, 0]
    # Colours are smoothed along with their share: hair meets skin softly.
    smooth = _faded(np.column_stack([share, last, share[:, None] * colour]), seen, body, _HEAD_FADE_M)
    mixed = np.where(smooth[:, :1] > 1e-4, smooth[:, 2:] / np.maximum(smooth[:, :1], 1e-4), colour)
    share, far = np.clip(smooth[:, :2], 0, 1).T
    return Overrides(np.clip(mixed, 0, 255).astype(np.float32), share, depth, far)


def _head(photo: Photo, seen: np.ndarray, body: RestBody, colour: np.ndarray, share: np.ndarray) -> None:
    """Hair behind and above, and a face of skin where the person looks away."""
    inside = body.skull > 0.5
    if not inside.any():
        return
    points = body.positions
    height = (points[:, 1] - body.chin[1]) / max(body.crown[1] - body.chin[1], 1e-6)
    middle = 0.5 * (points[inside, 2].min() + points[inside, 2].max()) - 0.01
    # The hairline runs behind the ears, then forwards over them to the temples.
    hairline = middle + 0.07 * ramp(height, 0.45, 0.65)
    behind = ramp(hairline - points[:, 2], -0.01, 0.03)
    forehead = (points[:, 2] > middle + 0.05) & (height < 0.85)
    rim = _read_rim(photo, body)
    hair = rim.median(body, np.where(forehead, 0, ramp(height, 0.45, 0.6)) * body.skull)
    if hair is not None:
        nape = _nape(photo, rim, body, height, hair)
        head = body.regions[:, _HEAD]
        scalp = np.maximum(behind * ramp(height, nape, nape + 0.25), ramp(height, 0.78, 0.9)) * head
        colour += scalp[:, None] * (hair - colour)
        share[:] = np.maximum(share, scalp)
    face = (1 - behind) * ramp(height, 0.0, 0.1) * (1 - ramp(height, 0.7, 0.85)) * body.skull
    skin = _pixel_median(photo, body, body.hands)
    if skin is not None and (seen & (face > 0.5)).sum() < 0.1 * (face > 0.5).sum():
        colour[face > 0.01] = skin
        share[:] = np.maximum(share, face)


@dataclass(frozen=True)
class _Rim:
    """The person's pixels along the outline: colour (N, 3) f32, and row, column (N,) of the nearest mesh pixel.

    The middle of a head seen from the front is forehead even high up; its outline is hair, if there is any.
    """

    photo: Photo
    colour: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def at(self, body: RestBody, values: np.ndarray) -> np.ndarray:
        """Vertex values (V,) at the nearest points of the mesh -> (N,)."""
        return body.at_pixels(self.photo, values[:, None], self.row, self.column)[:, 0]

    def median(self, body: RestBody, weight: np.ndarray) -> np.ndarray | None:
        """(3,) median colour where the vertex weight (V,) is high; None when that is hardly seen."""
        strong = self.at(body, weight) > 0.5
        return np.median(self.colour[strong], axis=0).astype(np.float32) if strong.sum() >= _MANY else None


def _read_rim(photo: Photo, body: RestBody) -> _Rim:
    inner = ndimage.distance_transform_edt(np.pad(photo.mask, 1))[1:-1, 1:-1]
    # Hair stands out from the mesh of the head: what lies outside takes the nearest point of the mesh.
    away, nearest = ndimage.distance_transform_edt(photo.face < 0, return_indices=True)
    scale = photo.camera.fx / photo.distance
    # The outermost hair shows the background through it.
    start = max(photo.rim, 0.005 * scale)
    rows, columns = np.nonzero((inner > start) & (inner < start + 0.02 * scale) & (away < 0.06 * scale))
    colour = photo.color[rows, columns].astype(np.float32)
    return _Rim(photo, colour, nearest[0, rows, columns], nearest[1, rows, columns])


def _nape(photo: Photo, rim: _Rim, body: RestBody, height: np.ndarray, hair: np.ndarray) -> float:
    """How far down the hair hangs behind, in heights of the head above the chin: long hair shows beside the neck."""
    skin = _pixel_median(photo, body, body.cheeks)
    if skin is None or np.linalg.norm(skin - hair) < _TELL_APART:
        return _SHORT_NAPE
    here = rim.at(body, body.regions[:, _HEAD]) > 0.3
    place = rim.at(body, height)
    like_hair = np.linalg.norm(rim.colour - hair, axis=1) < np.linalg.norm(rim.colour - skin, axis=1)
    lowest = _SHORT_NAPE
    for top in (0.35, 0.15, -0.05, -0.25):
        band = here & (place < top) & (place >= top - 0.2)
        if band.sum() < 8 or like_hair[band].mean() < 0.6:
            break
        lowest = top - 0.45
    return lowest


def _pixel_median(photo: Photo, body: RestBody, weight: np.ndarray) -> np.ndarray | None:
    """(3,) median colour of the pixels where the vertex weight (V,) is high; None when too few are seen."""
    rows, columns = np.nonzero((photo.face >= 0) & (photo.trust > 0.05))
    strong = body.at_pixels(photo, weight[:, None], rows, columns)[:, 0] > 0.4
    if strong.sum() < _MANY:
        return None
    return np.median(photo.color[rows[strong], columns[strong]], axis=0).astype(np.float32)


def _mirrored_head(
    photo: Photo, captured: np.ndarray, seen: np.ndarray, body: RestBody, colour: np.ndarray, share: np.ndarray
) -> None:
    """The head's hidden side takes the colours of its mirror image where that is seen: tone, no eyes or lips.

    Features would double wherever the fitted head is turned a little from the real one.
    """
    skull = body.skull > 0.5
    rows = np.nonzero(~seen & skull)[0]
    if not len(rows) or not (seen & skull).any():
        return
    reflected = body.positions[rows] * np.array([-1.0, 1.0, 1.0])
    distance, partner = cKDTree(body.positions).query(reflected, distance_upper_bound=0.03)
    found = np.isfinite(distance)
    found[found] = seen[partner[found]]
    known = (seen & skull).astype(np.float64)
    laplacian = _laplacian(body, _TONE_M)
    head = np.nonzero(body.skull > 0)[0]
    # A pinch of 1 keeps pieces of the head without any seen vertex (an eyeball's back) solvable.
    system = (laplacian[head][:, head] + sp.diags(known[head] + 1e-6)).tocsc()
    blurred = np.zeros_like(colour)
    blurred[head] = spl.spsolve(system, (known[:, None] * photo.colours(captured))[head] + 1e-6 * colour[head])
    colour[rows[found]] = blurred[partner[found]]
    share[rows[found]] = 1.0


def _laplacian(body: RestBody, length: float) -> sp.csr_matrix:
    """(V, V) Laplacian whose screened solve with the identity smooths over about `length` metres."""
    edge = edges(body.faces)
    spacing = np.linalg.norm(body.positions[edge[:, 0]] - body.positions[edge[:, 1]], axis=1)
    return uniform_laplacian(edge, len(body.positions), (length / np.maximum(spacing, 1e-3)) ** 2)


def _faded(values: np.ndarray, seen: np.ndarray, body: RestBody, length: float) -> np.ndarray:
    """Screened smoothing over `length` metres of values (V, C) with 0 held at seen vertices -> (V, C) f32."""
    laplacian = _laplacian(body, length)
    free = np.nonzero(~seen)[0]
    out = np.zeros(values.shape, np.float32)
    if len(free):
        system = (laplacian[free][:, free] + sp.identity(len(free))).tocsc()
        out[free] = np.maximum(spl.splu(system).solve(values[free].astype(np.float64)), 0)
    return out
