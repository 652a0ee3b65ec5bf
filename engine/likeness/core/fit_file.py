"""A fit on disk: the folder `NAME.fit/`, a single JSON file, or the pose inside an avatar folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LikenessError
from .files import new_folder, read_json, write_json
from .fit import Fit

SUFFIX = ".fit"
FORMAT_VERSION = 1
FIT_FILE, KEYPOINTS_FILE = "fit.json", "keypoints.json"
#: Fits without a name of their body are of the body that ships, of whatever version.
DEFAULT_BODY = "likeness-default"


@dataclass(frozen=True)
class StoredFit:
    """A fit and the name of the body that its betas belong to."""

    fit: Fit
    body: str = DEFAULT_BODY

    def of_default_body(self) -> bool:
        """Whether the betas belong to the body that ships."""
        return self.body.startswith(DEFAULT_BODY)


def fit_path(out: str | Path) -> Path:
    """The fit's folder, always with its suffix."""
    path = Path(out).expanduser()
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)


def write_fit(
    path: Path,
    fit: Fit,
    body_model: Mapping[str, str],
    *,
    rest_joints: np.ndarray | None = None,
    pictures: Mapping[str, bytes] | None = None,
    keypoints: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder whole or not at all; an existing one is replaced atomically. Returns its path.

    body_model: id and licence of the body. rest_joints: (J, 3) m of its shape, for those who lack the body. pictures:
    file name -> PNG. keypoints: what the fit was made from (core/keypoints.py). Raises
    LikenessError("output.unwritable").
    """
    path = Path(path)
    head: dict[str, Any] = {"format_version": FORMAT_VERSION, "body_model": dict(body_model), **fit.to_dict()}
    if rest_joints is not None:
        head["rest_joints"] = np.asarray(rest_joints, np.float64).round(7).tolist()
    with new_folder(path) as folder:
        for name, data in (pictures or {}).items():
            (folder / name).write_bytes(data)
        if keypoints is not None:
            write_json(folder / KEYPOINTS_FILE, keypoints)
        write_json(folder / FIT_FILE, head)
    return path


def read_fit(path: Path) -> StoredFit:
    """Read a fit: its folder, with or without the suffix, a JSON file, or an avatar folder.

    Raises LikenessError("body.fit", "body.version").
    """
    found = _file_of(Path(path).expanduser())
    data = read_json(found, "body.fit")
    if not isinstance(data, dict):
        raise LikenessError(
            "body.fit", f"{found.name}: this is not a body fit.", "Choose what `likeness fit` has written."
        )
    version = data.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise LikenessError(
            "body.version",
            f"{found.name}: the fit has format {version!s:.20}, and this Likeness reads format {FORMAT_VERSION}.",
            "Update Likeness, or make the fit again.",
        )
    body = data.get("body_model")
    if body is None and found.name == "capture.json":
        body = read_json(found.with_name("avatar.json"), "body.fit").get("body_model")
    name = body.get("id") if isinstance(body, dict) else None
    return StoredFit(Fit.from_dict(data), str(name or DEFAULT_BODY))


def _file_of(path: Path) -> Path:
    """The JSON file that a path of an artist means."""
    for folder in (path, path.with_name(path.name + SUFFIX)):
        if folder.is_dir():
            for name in (FIT_FILE, "capture.json"):
                if (folder / name).is_file():
                    return folder / name
            raise LikenessError(
                "body.fit", f"{folder.name}: this folder holds no body fit.", "Choose a folder that ends in .fit."
            )
    return path
