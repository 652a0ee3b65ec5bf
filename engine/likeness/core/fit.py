"""The body's parameters for one capture: pose, shape, place, camera, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .camera import Camera
from .errors import LikenessError

LIMBS = ("head", "torso", "left_arm", "right_arm", "left_leg", "right_leg")


@dataclass(frozen=True)
class Fit:
    """A body placed in camera space: vertices = lbs(betas, pose) + translation.

    pose: (J, 3) f32 axis-angle; pose[0] is the root's orientation in camera axes (SMPL's convention: it turns about
    the rest pelvis), so an upright person who faces the camera has pose[0] = (pi, 0, 0).
    betas: (K,) f32. translation: (3,) f32 metres. confidence: limb -> 0..1.
    residuals: figures with units in their names.
    """

    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    camera: Camera
    confidence: dict[str, float] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "pose": np.asarray(self.pose, np.float64).round(7).tolist(),
            "betas": np.asarray(self.betas, np.float64).round(7).tolist(),
            "translation": np.asarray(self.translation, np.float64).round(7).tolist(),
            "camera": self.camera.to_dict(),
            "confidence": dict(self.confidence),
            "residuals": dict(self.residuals),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fit:
        """Read what to_dict wrote. Raises LikenessError("body.fit") on anything else."""
        try:
            pose = np.asarray(data["pose"], np.float32).reshape(-1, 3)
            betas = np.asarray(data["betas"], np.float32).reshape(-1)
            translation = np.asarray(data["translation"], np.float32).reshape(3)
            finite = all(np.isfinite(a).all() for a in (pose, betas, translation))
            if not finite:
                raise ValueError("a number is not finite")
            return cls(
                pose=pose,
                betas=betas,
                translation=translation,
                camera=Camera.from_dict(data["camera"]),
                confidence={str(k): float(v) for k, v in dict(data.get("confidence", {})).items()},
                residuals={str(k): float(v) for k, v in dict(data.get("residuals", {})).items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LikenessError(
                "body.fit", f"The body fit cannot be read: {error}.", "Make it again with `likeness fit`."
            ) from error
