"""Learn how people hold themselves: mixtures of Gaussians over groups of joints, and limits.

    python install/make/make_pose_prior.py [--out FILE]

From the people pack's motion clips of the train split, natural poses (standing, walking, sitting, what arms do) and
people at rest; nothing of the val and test splits takes part, so figures on those people are honest. Spine, each arm
and both legs get their own mixture: an artist's subject may hold the arms as nobody in the clips did. Left and right
are seen mirrored too, so the prior is symmetric. Prints the mean log likelihood a joint of the val split's clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from likeness.body.model import load_default
from likeness.synthesis.natural import draw_natural
from likeness.synthesis.pack import load_pack

GROUPS = {
    "spine": [3, 6, 9, 12, 15],
    "arm": [13, 16, 18, 20],  # the left one; the right one is read mirrored
    "legs": [1, 2, 4, 5, 7, 8, 10, 11],
}
COMPONENTS = {"spine": 8, "arm": 16, "legs": 16}
SWAP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
# Added to every spread (radians): the clips are few, and some joints (collars) never move in them. Of 0.08 and
# 0.12, and of 4 to 32 components, these make val clips and unseen natural poses likeliest; more components fit train.
SLACK = 0.08
# Share and widening of one broad component a group: an unheard-of pose costs much, not without end.
BROAD_SHARE, BROAD_WIDENING = 0.05, 1.8
# Shares of the samples. The clips are sports and stunts, but people who let themselves be captured mostly stand or sit:
# natural poses, and for spine and legs people at rest with these spreads (radians); knees bend one way only.
NATURAL_SHARE, STANDING_SHARE, STANDING_SPREAD = 0.5, 0.2, 0.09
NATURAL_POSES = 3000
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "engine" / "likeness" / "weights" / "body" / "pose_prior.npz"


def clip_poses(which: str) -> np.ndarray:
    """Usable frames of a split's clips and their mirror images: (N, 24, 3)."""
    pack = load_pack()
    poses = []
    for name in sorted(pack.split.names("clip", which)):
        clip = pack.clip(name)
        poses.append(clip.poses[clip.usable][::2])
    frames = np.concatenate(poses).astype(np.float64)
    frames = frames[np.linalg.norm(frames[:, 1:], axis=-1).max(axis=1) < 2.8]
    return np.concatenate([frames, mirrored(frames)])


def natural_poses(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random natural poses and their mirror images: (2 count, 24, 3), the hands' own joints at zero."""
    joints = load_default(layout="smplh").joints_template.astype(np.float64)
    poses = np.zeros((count, 24, 3))
    for pose in poses:
        pose[:22] = draw_natural(joints, rng)[0].pose()[:22]
    return np.concatenate([poses, mirrored(poses)])


def blend(clips: np.ndarray, natural: np.ndarray, rest_share: float, rng: np.random.Generator) -> np.ndarray:
    """Samples in which clips, natural poses and people at rest have their shares."""
    total = round(len(natural) / NATURAL_SHARE)
    rest = standing(round(total * rest_share), rng)
    chosen = rng.choice(len(clips), total - len(natural) - len(rest))
    return np.concatenate([clips[chosen], natural, rest])


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


def log_likelihood(learned: dict[str, np.ndarray], samples: np.ndarray) -> float:
    """Mean log likelihood of samples (N, D) a dimension."""
    offset = samples[:, None] - learned["means"]
    white = np.einsum("kij,nkj->nki", learned["whiteners"], offset)
    scores = learned["log_weights"] - 0.5 * np.square(white).sum(axis=2)
    return float(np.logaddexp.reduce(scores, axis=1).mean() / samples.shape[1] - 0.5 * np.log(2 * np.pi))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    clips, held_out = clip_poses("train"), clip_poses("val")
    natural = natural_poses(NATURAL_POSES, rng)
    content: dict[str, Any] = {}
    for group, joints in GROUPS.items():
        samples = blend(clips, natural, 0.0 if group == "arm" else STANDING_SHARE, rng)[:, joints]
        learned = mixture(samples.reshape(len(samples), -1), COMPONENTS[group], rng)
        figures = [log_likelihood(learned, p[:, joints].reshape(len(p), -1)) for p in (clips, held_out, natural)]
        print(f"{group}: log likelihood a dimension {figures[0]:.3f} train, {figures[1]:.3f} val clips, "
              f"{figures[2]:.3f} natural")  # fmt: skip
        content |= {f"{group}_{key}": value.astype(np.float32) for key, value in learned.items()}
        content[f"{group}_joints"] = np.array(joints, np.int32)
    low, high = limits(np.concatenate([clips, natural]))
    content |= {"lowest": low.astype(np.float32), "highest": high.astype(np.float32)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, **content)
    print(f"{arguments.out.name}: {arguments.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
