"""Learn how people hold themselves from free motion clips: mixtures of Gaussians over groups of joints, and limits.

    python install/make/make_pose_prior.py --motion FOLDER [--out FILE]

FOLDER holds clips (npz: poses (T, 24, 3) axis-angle relative to the T pose) and index.json. Spine, each arm and both
legs get their own mixture: an artist's subject may hold the arms as nobody in the clips did. Left and right are
seen mirrored too, so the prior is symmetric.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

GROUPS = {
    "spine": [3, 6, 9, 12, 15],
    "arm": [13, 16, 18, 20],  # the left one; the right one is read mirrored
    "legs": [1, 2, 4, 5, 7, 8, 10, 11],
}
COMPONENTS = {"spine": 4, "arm": 8, "legs": 8}
SWAP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
# Added to every spread (radians): the clips are few, and some joints (collars) never move in them.
SLACK = 0.12
# Share and widening of one broad component a group: an unheard-of pose costs much, not without end.
BROAD_SHARE, BROAD_WIDENING = 0.05, 1.8
# The clips are sports and stunts, but people who let themselves be captured mostly stand: this share of the samples
# stands straight and relaxed, with these spreads (radians) of spine and leg joints; knees bend one way only.
STANDING_SHARE, STANDING_SPREAD = 0.4, 0.09
# Clips on playground equipment with flips between frames are no guide to standing people.
MAX_STEP_DEG = 60
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "engine" / "likeness" / "weights" / "body" / "pose_prior.npz"


def read_poses(folder: Path) -> np.ndarray:
    """All usable frames and their mirror images: (N, 24, 3)."""
    poses = []
    for clip in json.loads((folder / "index.json").read_text()):
        if clip["max_step_deg"] <= MAX_STEP_DEG:
            poses.append(np.load(folder / Path(clip["file"]).name)["poses"][::2])
    frames = np.concatenate(poses).astype(np.float64)
    frames = frames[np.linalg.norm(frames[:, 1:], axis=-1).max(axis=1) < 2.8]
    return np.concatenate([frames, mirrored(frames)])


def standing(count: int, rng: np.random.Generator) -> np.ndarray:
    """Spines and legs of people at rest: (count, 24, 3); arms at zero."""
    poses = np.zeros((count, 24, 3))
    poses[:, GROUPS["spine"] + GROUPS["legs"]] = rng.normal(0.0, STANDING_SPREAD, (count, 13, 3))
    poses[:, [4, 5]] = np.abs(poses[:, [4, 5]]) * np.array([1.0, 0.2, 0.2])
    return poses


def mirrored(poses: np.ndarray) -> np.ndarray:
    """Poses (N, 24, 3) of the mirror image of a person."""
    return poses[:, SWAP] * np.array([1.0, -1.0, -1.0])


def mixture(samples: np.ndarray, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Expectation maximisation: means (K + 1, D), upper triangular whiteners (K + 1, D, D), log weights (K + 1,)."""
    size, width = samples.shape
    means = samples[_spread_choice(samples, count, rng)]
    spreads = np.repeat(np.cov(samples.T)[None], count, axis=0) + SLACK**2 * np.eye(width)
    shares = np.full(count, 1.0 / count)
    for _ in range(60):
        scores = np.stack([_log_density(samples, m, c) for m, c in zip(means, spreads, strict=True)], axis=1)
        scores += np.log(shares)
        weight = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
        mass = weight.sum(axis=0) + 1e-9
        shares, means = mass / size, (weight.T @ samples) / mass[:, None]
        for k in range(count):
            offset = samples - means[k]
            spreads[k] = (weight[:, k, None] * offset).T @ offset / mass[k] + SLACK**2 * np.eye(width)
    means = np.concatenate([means, samples.mean(axis=0)[None]])
    broad = BROAD_WIDENING**2 * (np.cov(samples.T) + SLACK**2 * np.eye(width))
    spreads = np.concatenate([spreads, broad[None]])
    shares = np.concatenate([shares * (1 - BROAD_SHARE), [BROAD_SHARE]])
    whiteners = np.stack([np.linalg.cholesky(np.linalg.inv(spread)).T for spread in spreads])
    logdets = np.array([np.log(np.diagonal(whitener)).sum() for whitener in whiteners])
    return {"means": means, "whiteners": whiteners, "log_weights": np.log(shares) + logdets}


def _spread_choice(samples: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    chosen = [int(rng.integers(len(samples)))]
    while len(chosen) < count:
        nearest = np.min([np.square(samples - samples[k]).sum(axis=1) for k in chosen], axis=0)
        chosen.append(int(rng.choice(len(samples), p=nearest / nearest.sum())))
    return chosen


def _log_density(samples: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    factor = np.linalg.cholesky(spread)
    white = np.linalg.solve(factor, (samples - mean).T)
    return -0.5 * np.square(white).sum(axis=0) - np.log(np.diagonal(factor)).sum()


def limits(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest usual axis-angle of every joint: two (24, 3) arrays, radians, with a margin."""
    low, high = np.percentile(poses, [0.3, 99.7], axis=0)
    low, high = np.minimum(low, -0.1) - 0.1, np.maximum(high, 0.1) + 0.1
    # Knees bend one way and hardly turn; elbows keep the turn that a forearm has.
    low[[4, 5]], high[[4, 5]] = [-0.05, -0.2, -0.12], [2.6, 0.2, 0.12]
    low[[18, 19], 0], high[[18, 19], 0] = -0.6, 0.6
    low[18, 1], high[19, 1], high[18, 1], low[19, 1] = -2.6, 2.6, 0.1, -0.1
    low[[13, 14]], high[[13, 14]] = [-0.25, -0.35, -0.3], [0.25, 0.35, 0.3]
    low[14], high[14] = [-0.25, -0.35, -0.3], [0.25, 0.35, 0.3]
    return low, high


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--motion", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    poses = read_poses(arguments.motion)
    rng = np.random.default_rng(0)
    content: dict[str, np.ndarray] = {}
    for group, joints in GROUPS.items():
        samples = poses
        if group != "arm":
            rest = standing(round(len(poses) * STANDING_SHARE / (1 - STANDING_SHARE)), rng)
            samples = np.concatenate([poses, rest])
        learned = mixture(samples[:, joints].reshape(len(samples), -1), COMPONENTS[group], rng)
        content |= {f"{group}_{key}": value.astype(np.float32) for key, value in learned.items()}
        content[f"{group}_joints"] = np.array(joints, np.int32)
    low, high = limits(poses)
    content |= {"lowest": low.astype(np.float32), "highest": high.astype(np.float32)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, **content)
    print(f"{arguments.out.name}: {len(poses)} poses, {arguments.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
