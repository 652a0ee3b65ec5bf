"""What the artist asked for: one checked record for the command line, the panel and the job folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from .. import __version__
from ..core.avatar import SUFFIX
from ..core.capture import Capture
from ..core.errors import LikenessError
from ..core.fit_file import fit_path

Method = Literal["auto", "layers", "anim", "draped"]
PresetName = Literal["preview", "standard", "best"]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Preset(msgspec.Struct, frozen=True):
    """How much work a result is worth. texture_px: side of the texture. edge_m: longest edge of the surface's mesh.
    resolution: cells along the cube about the person in which a network's surface is found, of extract.DIVISIONS."""

    texture_px: int
    edge_m: float
    resolution: int


PRESETS: dict[str, Preset] = {
    "preview": Preset(texture_px=1024, edge_m=0.024, resolution=256),
    "standard": Preset(texture_px=2048, edge_m=0.012, resolution=384),
    "best": Preset(texture_px=4096, edge_m=0.012, resolution=512),
}


class AvatarRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One avatar from one capture (`capture`) or one photo (`photos`).

    out: the avatar folder itself. depth, intrinsics, mask: files. body: a fit, or SMPL's parameters. keypoints: a file
    of joints in the picture. body_model: SMPL's file, else the body that ships. unit: of the depth, where its file does
    not say. focal_px: of a photo. person: which of several people, from 0. height_m: theirs; photos show no size.
    method: how the surface is found; `auto` is the best for the input.
    """

    out: str
    capture: str | None = None
    photos: tuple[str, ...] = ()
    depth: str | None = None
    intrinsics: str | None = None
    mask: str | None = None
    body: str | None = None
    keypoints: str | None = None
    body_model: str | None = None
    unit: str | None = None
    focal_px: float | None = None
    person: int = 0
    height_m: float | None = None
    method: Method = "auto"
    preset: PresetName = "standard"
    device: Device = "auto"
    seed: int = 0
    name: str | None = None
    job_dir: str | None = None

    @property
    def out_path(self) -> Path:
        """The avatar folder, always with its suffix."""
        path = Path(self.out).expanduser()
        return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)

    @property
    def avatar_name(self) -> str:
        """The name that the artist sees."""
        return self.name or self.out_path.name.removesuffix(SUFFIX)

    @property
    def job_path(self) -> Path:
        """The job folder: the one that was asked for, else beside the result."""
        return Path(self.job_dir).expanduser() if self.job_dir else self.out_path.with_name(self.out_path.name + ".job")

    def method_for(self, capture: Capture) -> str:
        """The method that makes this capture's surface. Raises LikenessError("usage.method")."""
        measured = bool(capture.valid.any())
        if self.method == "auto":
            return "layers" if measured else "draped"
        if self.method in ("layers", "anim") and not measured:
            raise LikenessError(
                "usage.method",
                f"{capture.name}: the method {self.method} needs depth on the person, and there is none.",
                "Leave --method out, or choose draped.",
            )
        return self.method

    def settings(self) -> dict[str, Any]:
        """What decides the outcome, without any path: goes into the avatar's provenance."""
        keys = ("unit", "focal_px", "person", "height_m", "method", "preset", "seed")
        return {k: getattr(self, k) for k in keys} | msgspec.to_builtins(PRESETS[self.preset])

    def key(self, capture: Capture) -> str:
        """Equal for two requests whose checkpoints may be shared."""
        mask = hashlib.sha256(capture.mask.tobytes()).hexdigest()
        given = [_hash(path) for path in (self.body, self.keypoints, self.body_model)]
        text = json.dumps([__version__, capture.source_sha256, mask, given, self.settings()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _hash(path: str | None) -> str:
    """Of a file, or of all files of a folder in the order of their names; empty where there is none."""
    if not path:
        return ""
    place = Path(path).expanduser()
    place = place if place.exists() else fit_path(place)
    files = sorted(p for p in place.glob("*.json")) if place.is_dir() else [place]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


_HEIGHT_M = (0.4, 2.6)
_LATER = ("elicit", "rigged")


def avatar_request(params: dict[str, Any], *, several_photos: bool = False) -> AvatarRequest:
    """Check what came from outside. Raises LikenessError("usage.*") with one sentence."""
    if params.get("method") in _LATER:
        raise LikenessError(
            "usage.method",
            f"The method {params['method']} is not part of this version.",
            "Leave --method out, or choose layers, anim or draped.",
        )
    try:
        request = msgspec.convert(params, AvatarRequest)
    except msgspec.ValidationError as error:
        raise LikenessError(
            "usage.request", f"The request is not understood: {error}.", "Check its settings."
        ) from error
    if bool(request.capture) == bool(request.photos):
        raise LikenessError(
            "usage.input", "An avatar is made from either one capture or one photo.", "Choose one of the two."
        )
    if request.height_m is not None and not _HEIGHT_M[0] <= request.height_m <= _HEIGHT_M[1]:
        raise LikenessError(
            "usage.height", f"A height of {request.height_m:g} m is not a person's.", "Give it in metres, such as 1.74."
        )
    if len(request.photos) > 1 and not several_photos:
        raise LikenessError(
            "usage.photos",
            f"{len(request.photos)} photos were chosen, and an avatar is made from one.",
            "Fit them together with `likeness fit`, then make the avatar of the best one with its --body.",
        )
    return request
