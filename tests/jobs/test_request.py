"""What artists ask for is checked before anything is done."""

from __future__ import annotations

import numpy as np
import pytest
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.jobs.request import avatar_request


def test_heights_of_people_are_taken_and_centimetres_refused():
    assert avatar_request({"out": "a", "photos": ["x.png"], "height_m": 1.8}).height_m == 1.8
    with pytest.raises(LikenessError) as error:
        avatar_request({"out": "a", "photos": ["x.png"], "height_m": 180.0})
    assert error.value.code == "usage.height"


def test_another_height_is_another_job():
    asked = [avatar_request({"out": "a", "photos": ["x.png"], "height_m": height}) for height in (1.7, 1.8)]
    assert asked[0].settings() != asked[1].settings()


def test_the_method_follows_the_input():
    """Where nothing of the person was measured there is no far side to guess from."""
    flat = np.zeros((4, 4), np.float32)
    mask = np.ones((4, 4), bool)
    camera = Camera(4, 4, 1.5, 1.5, 4, 4)
    photo, empty, measured = (
        Capture(np.zeros((4, 4, 3), np.uint8), mask, depth, camera, True, "x", "0", "file")
        for depth in (None, flat, flat + 1)
    )
    automatic, layers, anim, draped = (
        avatar_request({"out": "a", "capture": "x"} | extra)
        for extra in ({}, {"method": "layers"}, {"method": "anim"}, {"method": "draped"})
    )
    assert [automatic.method_for(each) for each in (photo, empty, measured)] == ["draped", "draped", "layers"]
    assert [draped.method_for(each) for each in (photo, measured)] == ["draped", "draped"]
    for guessing, name in ((layers, "layers"), (anim, "anim")):
        assert guessing.method_for(measured) == name
        for each in (photo, empty):
            with pytest.raises(LikenessError) as error:
                guessing.method_for(each)
            assert error.value.code == "usage.method" and name in error.value.message
