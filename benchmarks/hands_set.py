"""People who show their hands: pictures large enough to read fingers in, each hand in another shape.

    python benchmarks/hands_set.py OUT [--split val] [--people 12] [--views 2] [--size 1280] [--seed 300]

Bodies, clothes and poses as `likeness synthesize` draws them; fingers in any shape, wrists turned as far as wrists
turn, seen from the front half. fit_hands.py measures on them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from likeness.body.hand_skeleton import HAND_STARTS, WRISTS
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.dataset import is_complete, write_person
from likeness.synthesis.depth_sensors import SENSORS, fitting
from likeness.synthesis.figure import Posed
from likeness.synthesis.fingers import SHAPES, hand_pose
from likeness.synthesis.light import light_scene
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.places import draw_place
from likeness.synthesis.poses import Pose, draw_pose, rest_joints
from likeness.synthesis.sample import PersonSample, Setting, Settings, ViewSample, make_dressed, seen_from
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import View
from likeness.synthesis.views import draw_view

#: Radians (sigma) by which wrists are turned about their own axes: forearm, up and down, sideways.
WRIST_SIGMA = (0.35, 0.25, 0.15)
MOST_YAW_DEG, DISTANCE_M = 75.0, (1.5, 3.2)


def with_hands(pose: Pose, rng: np.random.Generator) -> Pose:
    """The pose with other fingers and wrists."""
    out = pose.pose.copy()
    for side in (0, 1):
        start = HAND_STARTS[side]
        out[start : start + 15] = hand_pose(rest_joints(), side, str(rng.choice(list(SHAPES))), rng)
        turn = rng.normal(0, WRIST_SIGMA)[[0, 2, 1]]
        wrist = WRISTS[side]
        out[wrist] = axis_angle(rodrigues(out[wrist].astype(float)) @ rodrigues(turn))
    return replace(pose, pose=out)


def make_person(pack: Pack, settings: Settings, index: int) -> PersonSample:
    """One posed person with pictures; the same for equal settings."""
    dressed = make_dressed(pack, settings, index)
    rng = np.random.default_rng((settings.seed, index, 77))
    pose = with_hands(draw_pose(pack, rng, settings.split), rng)
    posed = pose_person(dressed, pose, rng, cloth=settings.cloth)
    scene, place = Scene(posed, settings.device), draw_place(rng)
    here = Setting(scene, posed, pose.words, place, light_scene(scene, place))
    views: list[ViewSample] = []
    for _ in range(settings.views):
        view = draw_front(posed, rng, settings.size)
        (sensor,) = fitting((SENSORS["azure_kinect"],), view, posed.body[::23])
        views.append(seen_from(here, view, "azure_kinect", sensor, settings.device, rng))
    return PersonSample(index, settings, posed, None, None, tuple(views))


def draw_front(posed: Posed, rng: np.random.Generator, size: int) -> View:
    """A camera before the person whose axis goes through the picture, as files must have it."""
    while True:
        yaw = float(rng.uniform(-MOST_YAW_DEG, MOST_YAW_DEG))
        view = draw_view(posed, rng, size, yaw_deg=yaw, distance_m=DISTANCE_M)
        if 0 <= view.camera.cx < size and 0 <= view.camera.cy < size:
            return view


def main() -> None:
    """Write the people that are not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--size", type=int, default=1280)
    parser.add_argument("--seed", type=int, default=300)
    options = parser.parse_args()
    settings = Settings(
        seed=options.seed, split=options.split, size=options.size, views=options.views, points=0, cloth="skin"
    )
    pack = load_pack()
    for index in range(options.people):
        if not is_complete(options.out, index, settings):
            write_person(options.out, make_person(pack, settings, index))


if __name__ == "__main__":
    main()
