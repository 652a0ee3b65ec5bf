"""What the panel draws in each state, checked against Blender's own description of layouts, operators and icons."""

from types import SimpleNamespace

import bpy
import pytest

MAIN = 1.4  # height of a state's one main button


class Layout:
    """Stands in for UILayout, which only a window has. Refuses what the real one would refuse; records the rest."""

    functions = bpy.types.UILayout.bl_rna.functions

    def __init__(self, drawn=None):
        self.drawn = [] if drawn is None else drawn
        self.scale_y, self.enabled = 1.0, True
        self.use_property_split = self.use_property_decorate = False

    def _check(self, function, arguments):
        known = self.functions[function].parameters
        for name, value in arguments.items():
            assert name in known, f"{function} has no argument {name}"
            if name == "icon":
                assert value in known["icon"].enum_items, f"there is no icon {value}"

    def label(self, **arguments):
        self._check("label", arguments)
        self.drawn.append(("label", arguments["text"], self))

    def operator(self, idname, **arguments):
        self._check("operator", arguments)
        module, name = idname.split(".")
        rna = getattr(getattr(bpy.ops, module), name).get_rna_type()
        self.drawn.append(("operator", idname, self))
        return SimpleNamespace(**{p.identifier: None for p in rna.properties})

    def prop(self, owner, name, **arguments):
        self._check("prop", arguments)
        assert hasattr(owner, name), f"{owner} has no {name}"
        self.drawn.append(("prop", name, self))

    def progress(self, **arguments):
        self._check("progress", arguments)
        assert 0 <= arguments["factor"] <= 1
        self.drawn.append(("progress", arguments["text"], self))

    def template_icon(self, **arguments):
        self._check("template_icon", arguments)
        self.drawn.append(("picture", arguments["icon_value"], self))

    def panel(self, _idname, default_closed=False):
        return Layout(self.drawn), Layout(self.drawn)

    def row(self, **arguments):
        self._check("row", arguments)
        return Layout(self.drawn)

    def column(self, **arguments):
        self._check("column", arguments)
        return Layout(self.drawn)

    def box(self):
        return Layout(self.drawn)

    def separator(self):
        """Takes room and says nothing."""
        self.drawn.append(("separator", "", self))


@pytest.fixture
def panel(scene, addon, tmp_path):
    """panel() draws the main panel and returns what stands there: texts, operator names, number of main buttons."""
    runtime, preferences = addon("runtime"), addon("preferences")
    runtime.session = addon("session").Session()
    prefs = preferences.preferences()
    prefs.engine_python, prefs.engine_folder = "", str(tmp_path / "none")

    def draw():
        layout = Layout()
        for cls in addon("panel").CLASSES:
            if not hasattr(cls, "poll") or cls.poll(bpy.context):
                cls.draw(SimpleNamespace(layout=layout), bpy.context)
        text = " ".join(what for kind, what, _ in layout.drawn if kind in ("label", "progress"))
        operators = [what for kind, what, _ in layout.drawn if kind == "operator"]
        main = [what for kind, what, where in layout.drawn if kind == "operator" and where.scale_y == MAIN]
        return SimpleNamespace(text=text, operators=operators, main=main, drawn=layout.drawn)

    draw.session, draw.prefs, draw.runtime = runtime.session, prefs, runtime
    yield draw
    runtime.session = addon("session").Session()
    runtime.setup = None
    prefs.engine_python = prefs.wheelhouse = ""


def test_no_engine(panel, tmp_path):
    drawn = panel()
    assert "not set up yet" in drawn.text and drawn.main == ["likeness.setup_engine"]
    assert "offline" in drawn.text, "bpy without a window is offline"
    panel.prefs.wheelhouse = str(tmp_path)
    assert "folder of wheels" in panel().text


def test_ready(panel):
    panel.prefs.engine_python = "/opt/python"
    drawn = panel()
    assert drawn.main == ["likeness.choose"] and "not set up" not in drawn.text


def test_chosen(panel, tmp_path):
    panel.prefs.engine_python = "/opt/python"
    panel.session.source = tmp_path
    panel.session.inspecting = True
    assert "Looking at it" in panel().text
    panel.session.inspecting = False
    panel.session.facts = {"kind": "rgbd", "width": 640, "height": 576, "stature_m": 1.76, "people": 2}
    panel.session.facts |= {
        "warnings": ["Feet are cut off: they will be guessed."],
        "estimate": {"seconds": 230, "memory_gb": 1.6},
    }
    drawn = panel()
    assert drawn.main == ["likeness.create_avatar"]
    for words in (tmp_path.name, "RGB-D · 640 × 576 · 1.76 m", "Feet are cut off", "about 4 min and 1.6 GB"):
        assert words in drawn.text
    properties = [what for kind, what, _ in drawn.drawn if kind == "prop"]
    assert {"person", "preset", "method", "unit", "mask", "focal_px"} <= set(properties)
    assert "Guessed with depth" in drawn.text
    panel.session.facts["kind"] = "photo"
    assert not {"unit", "method"} & {what for kind, what, _ in panel().drawn if kind == "prop"}


@pytest.mark.parametrize(
    "facts", [{}, {"kind": 3, "warnings": "x", "people": "many", "estimate": {"seconds": "x"}, "thumbnails": []}]
)
def test_chosen_with_strange_facts(panel, tmp_path, facts):
    panel.prefs.engine_python = "/opt/python"
    panel.session.source, panel.session.facts = tmp_path, facts
    assert panel().main == ["likeness.create_avatar"]


def test_running_and_stopping(panel, addon, tmp_path):
    job = addon("session").Job(tmp_path, "1", "body", ("read", "body"), 0.41, 130.0, "searching")
    panel.prefs.engine_python, panel.session.job = "/opt/python", job
    drawn = panel()
    assert "Body  41 %  2:10 left" in drawn.text and "2 of 2 · searching" in drawn.text
    assert drawn.main == ["likeness.cancel"] and "You can go on working." in drawn.text
    job.cancelling_since, job.remaining_s = 1.0, None
    (button,) = [where for kind, what, where in panel().drawn if what == "likeness.cancel"]
    assert not button.enabled


def test_engine_set_up_is_followed(panel):
    panel.runtime.setup = SimpleNamespace(fraction=0.5, stage="torch", message="30 of 64", stopping=False)
    drawn = panel()
    assert "Engine  50 %" in drawn.text and "torch: 30 of 64" in drawn.text and drawn.main == ["likeness.cancel"]


def test_failed(panel, addon, tmp_path):
    error = addon("core.errors").LikenessError("capture.mask", "The mask selects nothing.", "Choose another mask.")
    panel.prefs.engine_python = "/opt/python"
    panel.session.fail(error, lambda: None)
    drawn = panel()
    assert "The mask selects nothing." in drawn.text and "Choose another mask." in drawn.text
    assert drawn.main == ["likeness.choose"] and {"likeness.open_log", "likeness.try_again"} <= set(drawn.operators)
    panel.session.fail(addon("core.errors").LikenessError("engine.died", "The engine ended.", "Again."), lambda: None)
    drawn = panel()
    assert drawn.main == ["likeness.try_again"] and drawn.operators.count("likeness.try_again") == 1
    panel.session.fail(addon("core.errors").LikenessError("engine.protocol", "Old.", "Renew."))
    assert panel().main == ["likeness.setup_engine"]
    bpy.ops.likeness.dismiss()
    assert panel().main == ["likeness.choose"]


def test_done(panel, addon, mannequin_folder):
    panel.prefs.engine_python = "/opt/python"
    addon("importer").import_avatar(mannequin_folder)
    drawn = panel()
    assert "Box" in drawn.text and "Left arm unsure" in drawn.text and "●●●●○" in drawn.text
    wanted = {"likeness.frame_avatar", "likeness.apply_motion", "likeness.apply_capture_pose", "likeness.add_camera"}
    wanted |= {"likeness.pose_over_picture", "likeness.refit", "likeness.select_limb"}
    assert "likeness.remake_avatar" not in drawn.operators, "nothing was refitted yet"
    assert wanted <= set(drawn.operators)
    assert "non-commercial" not in drawn.text
    bpy.context.object["likeness_licences"] = '[{"licence": "SMPL, Non-Commercial"}]'
    assert "non-commercial" in panel().text
    bpy.ops.likeness.add_camera()
    assert panel().operators.count("render.render") == 2


def test_preferences_and_file_browser_are_drawn(panel, addon):
    layout = Layout()
    addon("preferences").LikenessPreferences.draw(SimpleNamespace(**_paths(panel.prefs), layout=layout), bpy.context)
    assert {what for _, what, _ in layout.drawn} == set(_paths(panel.prefs))
    layout = Layout()
    addon("operators_job").LIKENESS_OT_choose.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "folder of a capture" in " ".join(what for _, what, _ in layout.drawn)


def _paths(prefs) -> dict[str, str]:
    return {
        name: getattr(prefs, name)
        for name in ("output_folder", "engine_folder", "engine_python", "wheelhouse", "body_model")
    }


def test_pictures_are_loaded_outside_of_drawing(panel, addon, tmp_path):
    import numpy as np
    from mannequin import png

    picture = tmp_path / "color.png"
    picture.write_bytes(png(8, 8, np.full((8, 8, 3), 200, np.uint8)))
    panel.prefs.engine_python, panel.session.source = "/opt/python", tmp_path
    panel.session.facts = {"kind": "rgbd", "thumbnails": {"color": str(picture), "gone": str(tmp_path / "gone.png")}}
    panel.runtime.tick()
    pictures = addon("pictures")
    (loaded,) = pictures._collection.values()
    assert tuple(loaded.image_size) == (8, 8)
    panel()  # without a window Blender gives no icons, so there is nothing more to see here
    pictures.clear()


def test_wrapping_fits_and_loses_nothing(addon):
    wrap = addon("wrapping").wrap
    text = "The mask /home/anna/very/long/path/without/any/blank.png selects nothing at all."
    for width in (6, 13, 40, 200):
        lines = wrap(text, width, len)
        assert max(map(len, lines)) <= width and "".join("".join(lines).split()) == "".join(text.split())
    assert wrap("", 10, len) == []
