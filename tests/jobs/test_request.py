"""What artists ask for is checked before anything is done."""

from __future__ import annotations

import pytest
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
