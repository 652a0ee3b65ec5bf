"""The body's parameters for one capture: pose, shape, place, camera, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import hands
from .camera import Camera
from .errors import LikenessError

LIMBS = ("head", "torso", "left_arm", "right_arm", "left_hand", "right_hand", "left_leg", "right_leg")
#: Sets of shape directions that betas may belong to.
PEOPLE = ("adults", "children")
#: A limb that usually is this far off counts as half sure.
HALF_SURE_M = 0.05
_MAX_JOINTS, _MAX_BETAS = 100, 1000


def sure(off_m: float) -> float:
    """Confidence in a limb whose joints usually are so many metres off: 1 / (1 + (off / HALF_SURE_M)^2)."""
    return 1 / (1 + (off_m / HALF_SURE_M) ** 2)


def usually_off(confidence: float) -> float:
    """Metres by which joints of a limb of this confidence usually are off; the inverse of `sure`."""
    return float(HALF_SURE_M * np.sqrt(max(1 / max(confidence, 1e-9) - 1, 0.0)))


@dataclass(frozen=True)
class Fit:
    """A body placed in camera space: vertices = lbs(betas, pose) + translation.

    pose: (J, 3) f32 axis-angle; pose[0] is the root's orientation in camera axes (SMPL's convention: it turns about
    the rest pelvis), so an upright person who faces the camera has pose[0] = (pi, 0, 0).
    betas: (K,) f32. translation: (3,) f32 metres. confidence: limb -> 0..1, see `sure`.
    residuals: figures with units in their names. people: whose shape directions the betas belong to, `adults` or
    `children`. up: (3,) f32 unit vector in camera space away from the floor that the body stands on, where the fit
    knows it better than the capture.
    """

    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    camera: Camera
    confidence: dict[str, float] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    people: str = "adults"
    up: np.ndarray | None = None

    def with_joints(self, count: int) -> Fit:
        """The fit with a pose of `count` joints, 24, 52 or 55: fingers that are missing are relaxed (core/hands.py).

        Raises LikenessError("body.joints") where that is not possible.
        """
        if len(self.pose) == count:
            return self
        try:
            return replace(self, pose=hands.with_joints(self.pose, count))
        except ValueError as error:
            raise LikenessError(
                "body.joints",
                f"The body fit poses {len(self.pose)} joints, and the body has {count}.",
                "Use a fit of the same kind of body, or make it again with `likeness fit`.",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "pose": np.asarray(self.pose, np.float64).round(7).tolist(),
            "betas": np.asarray(self.betas, np.float64).round(7).tolist(),
            "translation": np.asarray(self.translation, np.float64).round(7).tolist(),
            "camera": self.camera.to_dict(),
            "confidence": dict(self.confidence),
            "residuals": dict(self.residuals),
            "people": self.people,
            **({} if self.up is None else {"up": np.asarray(self.up, np.float64).round(7).tolist()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fit:
        """Read what to_dict wrote. Raises LikenessError("body.fit") on anything else."""
        try:
            pose = np.asarray(data["pose"], np.float32).reshape(-1, 3)
            betas = np.asarray(data["betas"], np.float32).reshape(-1)
            translation = np.asarray(data["translation"], np.float32).reshape(3)
            up = None if data.get("up") is None else np.asarray(data["up"], np.float32).reshape(3)
            if not all(np.isfinite(a).all() for a in (pose, betas, translation, 0.0 if up is None else up)):
                raise ValueError("a number is not finite")
            if not 0 < len(pose) <= _MAX_JOINTS or len(betas) > _MAX_BETAS:
                raise ValueError(f"it has {len(pose)} joints and {len(betas)} shape numbers")
            if data.get("people", "adults") not in PEOPLE:
                raise ValueError("it belongs to a body that this version does not know")
            if up is not None and abs(float(np.linalg.norm(up)) - 1) > 1e-3:
                raise ValueError("its upward direction has no length of one")
            return cls(
                pose=pose,
                betas=betas,
                translation=translation,
                camera=Camera.from_dict(data["camera"]),
                confidence={str(k): float(v) for k, v in dict(data.get("confidence", {})).items()},
                residuals={str(k): float(v) for k, v in dict(data.get("residuals", {})).items()},
                people=str(data.get("people", "adults")),
                up=up,
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise LikenessError(
                "body.fit", f"The body fit cannot be read: {error}.", "Make it again with `likeness fit`."
            ) from error
