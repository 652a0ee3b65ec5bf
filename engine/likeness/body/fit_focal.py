"""The focal length of a photo that does not say it: perspective, and how people are usually photographed.

A fit at every focal length of a few tells by its energy how well that perspective explains the person: near cameras
make heads large and see under chins and onto shoes. It tells little, so two priors decide with it: how long lenses are,
and from how far away somebody is photographed. Both are stated here from what cameras are, not fitted to anything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.fit_points import State
from likeness.core.camera import Camera

# Natural logarithms of the focal lengths that are tried, as shares of the assumed one.
LOG_RATIOS = np.linspace(-0.6, 0.9, 7)
# Focal length as a share of the picture's longest side, and the spread of its logarithm: from a phone's main lens
# (26 mm on 36 mm, 0.7) to portrait lenses and crops (85 mm, 2.4) lie two spreads.
USUAL_FOCAL, FOCAL_SPREAD = 1.3, 0.4
# From how many metres people are photographed, and the spread of its logarithm.
USUAL_DISTANCE_M, DISTANCE_SPREAD = 2.7, 0.6
# What an energy of the fit counts against them: its terms repeat each other.
ENERGY_WEIGHT = 0.35
STEPS = 6


def refocused(camera: Camera, log_ratio: float) -> Camera:
    """The camera with another focal length."""
    ratio = float(np.exp(log_ratio))
    return replace(camera, fx=camera.fx * ratio, fy=camera.fy * ratio)


def moved_away(state: State, pelvis: np.ndarray, log_ratio: float) -> State:
    """The state as far from a refocused camera as keeps its size in the picture; pelvis (3,) m: where it is now."""
    shift = np.array([0.0, 0.0, pelvis[2] * (np.exp(log_ratio) - 1)])
    return replace(state, translation=state.translation + shift)


def likely(camera: Camera, energies: np.ndarray, distances_m: np.ndarray) -> tuple[float, float]:
    """Logarithm of the likeliest focal length over the camera's own, and its standard deviation.

    energies, distances_m (len(LOG_RATIOS),): of the fits at each. The mean over all, each as likely as it is.
    """
    focal = LOG_RATIOS + np.log(camera.fx / max(camera.width, camera.height) / USUAL_FOCAL)
    distance = np.log(np.maximum(distances_m, 0.05) / USUAL_DISTANCE_M)
    cost = ENERGY_WEIGHT * energies + 0.5 * (focal / FOCAL_SPREAD) ** 2 + 0.5 * (distance / DISTANCE_SPREAD) ** 2
    share = np.exp(cost.min() - cost)
    share /= share.sum()
    mean = float(share @ LOG_RATIOS)
    return mean, float(np.sqrt(share @ (LOG_RATIOS - mean) ** 2))
