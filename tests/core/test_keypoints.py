"""Keypoint files: three layouts, round trips, and whatever else might be in such a file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.errors import LikenessError
from likeness.core.keypoints import NAMES, Keypoints, parse_keypoints, read_keypoints

number = st.floats(-5000, 5000, allow_nan=False).map(lambda v: round(v, 3))
confidence = st.floats(0.01, 1.0).map(lambda v: max(0.01, round(v, 3)))
points = st.dictionaries(st.sampled_from(NAMES), st.tuples(number, number, confidence), min_size=1)


unknown_or_seen = st.just((0.0, 0.0, 0.0)) | st.tuples(number, number, confidence)
hands = st.dictionaries(
    st.sampled_from(["left", "right"]), st.lists(unknown_or_seen, min_size=21, max_size=21).map(tuple)
)


@given(points, st.none() | st.tuples(st.integers(1, 9000), st.integers(1, 9000)), hands)
def test_our_own_layout_comes_back(entries, size, fingers):
    people = parse_keypoints(json.loads(json.dumps(Keypoints(entries, size, fingers).to_dict())))
    assert people == [Keypoints(entries, size, fingers)]


def test_openpose_names_every_point_as_its_documentation_does():
    # x = index, so that each name tells where it was read; neck (1), hip's middle (8), little toes (20, 23) have none.
    body = [v for k in range(25) for v in (k, 100 + k, 0.5)]
    hand = [v for k in range(21) for v in (200 + k, 0, 0.9)]
    (person,) = parse_keypoints(
        {"version": 1.3, "people": [{"pose_keypoints_2d": body, "hand_left_keypoints_2d": hand}]}
    )
    got = {name: int(x) for name, (x, _, _) in person.points.items()}
    assert got == {
        "nose": 0, "right_shoulder": 2, "right_elbow": 3, "right_wrist": 4, "left_shoulder": 5, "left_elbow": 6,
        "left_wrist": 7, "right_hip": 9, "right_knee": 10, "right_ankle": 11, "left_hip": 12, "left_knee": 13,
        "left_ankle": 14, "right_eye": 15, "left_eye": 16, "right_ear": 17, "left_ear": 18, "left_foot_index": 19,
        "left_heel": 21, "right_foot_index": 22, "right_heel": 24,
        "left_thumb": 202, "left_index": 205, "left_pinky": 217,
    }  # fmt: skip
    assert [point[0] for point in person.hands["left"]] == list(range(200, 221)) and set(person.hands) == {"left"}
    (old,) = parse_keypoints({"people": [{"pose_keypoints_2d": body[:54], "hand_left_keypoints_2d": [0] * 63}]})
    assert not old.hands
    assert [int(old.points[n][0]) for n in ("right_hip", "right_ankle", "left_hip", "left_ankle")] == [8, 10, 11, 13]
    assert [int(old.points[n][0]) for n in ("right_eye", "left_eye", "right_ear", "left_ear")] == [14, 15, 16, 17]


def test_coco_tells_labelled_hidden_and_seen():
    numbers = [v for k in range(17) for v in (k, 2 * k, k % 3)]
    annotated = {"images": [{"width": 640, "height": 480}], "annotations": [{"keypoints": numbers}]}
    (person,) = parse_keypoints(annotated)
    assert person.size == (640, 480) and "nose" not in person.points
    assert person.points["left_eye"] == (1, 2, 0.5) and person.points["right_eye"] == (2, 4, 1.0)
    assert person.points["right_ankle"] == (16, 32, 0.5)
    detected = [v for k in range(17) for v in (k, 2 * k, 0.25)]
    (person,) = parse_keypoints([{"image_id": 1, "category_id": 1, "keypoints": detected, "score": 0.9}])
    assert person.points["left_wrist"] == (9, 18, 0.25)
    both = parse_keypoints({"annotations": [{"keypoints": numbers}, {"keypoints": detected}, {"keypoints": [0] * 51}]})
    assert len(both) == 2


@given(points, st.integers(50, 4000), st.floats(0.3, 3))
def test_points_follow_the_pictures_size(entries, width, factor):
    person = Keypoints(entries, (width, 2 * width))
    big = person.scaled_to(round(width * factor), round(2 * width * factor))
    back = big.scaled_to(width, 2 * width)
    for name, (x, y, _) in entries.items():
        assert back.points[name][:2] == pytest.approx((x, y), abs=1e-6 * 5000)
    with pytest.raises(LikenessError, match="belongs to a picture of"):
        Keypoints(entries, (640, 480)).scaled_to(480, 640)


HOSTILE = [
    None, 3, "x", [], {}, [3], [[]], {"points": 3}, {"points": {}}, {"points": {"nose": 3}}, {"people": 3},
    {"points": {"nose": ["a", 1]}}, {"points": {"tail": [1, 2]}}, {"points": {"nose": [1, 2, 3, 4]}},
    {"points": {"nose": [1, float("nan")]}}, {"points": {"nose": [float("inf"), 1]}}, {"points": {"nose": [True, 1]}},
    {"points": {"nose": [1, 2, -1]}}, {"points": {"nose": [1e300, 2]}}, {"points": {"nose": [10**400, 2]}},
    {"points": {"nose": [1, 2]}, "width": "wide"}, {"points": {"nose": [1, 2]}, "width": 10**9, "height": 1},
    {"points": {"nose": [1, 2]}, "width": 640}, {"points": {"nose": [1, 2]}, "format": "other"},
    {"people": []}, {"people": [[]]}, {"people": [{"pose_keypoints_2d": [1] * 74}]},
    {"people": [{"pose_keypoints_2d": [1] * 3000}]}, {"people": [{"pose_keypoints_2d": {"0": 1}}]},
    {"people": [{}] * 2000}, {"annotations": [{"keypoints": [1] * 50}]}, {"annotations": [None]},
    {"points": {"nose": [1, 2]}, "hands": {"left": [[1, 2, 1]] * 20}},
    {"points": {"nose": [1, 2]}, "hands": {"up": []}}, {"points": {"nose": [1, 2]}, "hands": {"left": [3.0] * 63}},
    {"images": [{}, {}], "annotations": [{"keypoints": [1] * 51}]}, {"people": [{"hand_left_keypoints_2d": [1] * 60}]},
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_keypoint_file_is_refused_in_a_sentence(data):
    with pytest.raises(LikenessError) as caught:
        parse_keypoints(data, "k.json")
    assert caught.value.code == "keypoints.unreadable" and caught.value.message.startswith("k.json: ")
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{", b"[" * 200_000, b'{"points": NaN}', b" " * (9 << 20)], ids=range(6)
)
def test_hostile_files_are_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "k.json").write_bytes(content)
    with pytest.raises(LikenessError, match=r"k\.json") as caught:
        read_keypoints(tmp_path / "k.json")
    assert caught.value.code == "keypoints.unreadable"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(
            st.sampled_from(
                ["points", "people", "annotations", "images", "keypoints", "pose_keypoints_2d", "nose", "width"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_nothing_but_people_or_a_sentence_comes_of_any_json(data):
    try:
        people = parse_keypoints(data)
    except LikenessError:
        return
    for person in people:
        assert person.points and set(person.points) <= set(NAMES)
        assert all(0 < trust <= 1 for _, _, trust in person.points.values())
