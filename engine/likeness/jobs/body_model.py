"""Which body a job uses: the one that ships, or SMPL's from the artist's own file."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..asset.layout import unwrap
from ..body.model import BodyModel, product_body
from ..body.smpl_files import read_smpl
from ..core.errors import LikenessError
from ..core.files import read_npz, write_bytes

#: Changes when atlases must be made anew.
_ATLAS = 1
_BETAS = 10


def load_body(file: str | None = None, people: str = "adults") -> BodyModel:
    """The body of a job, with an atlas.

    file: SMPL, SMPL-H or SMPL-X as its makers publish it; None for the body that ships, of `people`. What is worked
    out from a file is kept in the user's cache folder by the file's hash. Raises LikenessError("body.unreadable",
    "body.unsafe_file").
    """
    if not file:
        return product_body(people)
    kept = cache_folder() / "bodies"
    try:
        model = read_smpl(Path(file).expanduser(), kept, betas=_BETAS)
        return model if np.ptp(model.corner_uvs) > 0 else _with_atlas(model, kept)
    except LikenessError as error:
        if error.code != "output.unwritable":
            raise
        model = read_smpl(Path(file).expanduser(), betas=_BETAS)
        return model if np.ptp(model.corner_uvs) > 0 else replace(model, corner_uvs=_atlas(model))


def cache_folder() -> Path:
    """Where what can be made again is kept for this user: LIKENESS_CACHE, else the system's place for such things."""
    asked = os.environ.get("LIKENESS_CACHE")
    if asked:
        return Path(asked).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "Likeness" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "likeness"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "likeness"


def _with_atlas(model: BodyModel, folder: Path) -> BodyModel:
    key = hashlib.sha256(model.v_template.tobytes() + model.faces.tobytes()).hexdigest()
    path = folder / f"{key}-atlas-{_ATLAS}.npz"
    if path.is_file():
        try:
            uvs = read_npz(path, "body.unreadable").get("corner_uvs", np.zeros(0))
            if uvs.shape == (len(model.faces), 3, 2) and np.isfinite(uvs).all():
                return replace(model, corner_uvs=uvs.astype(np.float32))
        except LikenessError:
            pass  # damaged: made anew below
    uvs = _atlas(model)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, corner_uvs=uvs)
    write_bytes(path, buffer.getvalue())
    return replace(model, corner_uvs=uvs)


def _atlas(model: BodyModel) -> np.ndarray:
    return unwrap(model.v_template, model.faces)
