"""The house keeps its shape: who imports whom, and how long files and functions are (architecture, section 1)."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine" / "likeness"
ADDON = ROOT / "blender_addon"
#: Each room may import the rooms of lower rank. Rooms of the same rank do not know each other.
RANK = {
    "core": 0, "body": 1, "capture": 2, "surface": 3, "field": 3, "synthesis": 3, "asset": 4, "jobs": 5,
    "terminal": 5, "server": 6, "cli_train": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
#: The package itself holds the version number alone, so everybody may import it.
NO_ROOM = ""
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 80


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """(absolute dotted name, line) of every import, also those inside functions; relative ones are resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            # `from . import x` may name a module, so the imported names count as well.
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def package_of(path: Path, top: Path, name: str) -> str:
    """Dotted package in which the module at `path` resolves its relative imports."""
    return ".".join([name, *path.relative_to(top).parent.parts])


def room_of(dotted: str) -> str | None:
    """The room of `likeness.room.module`, NO_ROOM for the package itself, None for something else's module."""
    parts = dotted.split(".")
    if parts[0] != "likeness":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in RANK else NO_ROOM


def violations(source: str, path: Path) -> list[str]:
    """Sentences about imports of an engine module that its room must not make."""
    relative = path.relative_to(ENGINE)
    room = relative.parts[0].removesuffix(".py")
    found = []
    for name, line in imports(ast.parse(source), package_of(path, ENGINE, "likeness")):
        top, target = name.split(".")[0], room_of(name)
        where = f"{relative.as_posix()}:{line}"
        if top in ("bpy", "mathutils", "bmesh", "bl_ext"):
            found.append(f"{where} imports {top}: the engine never runs in Blender")
        if room == "core" and target is None and top not in sys.stdlib_module_names and top != "numpy":
            found.append(f"{where} imports {top}: core has NumPy and the standard library alone")
        if target and target != room and room in RANK and RANK[target] >= RANK[room]:
            found.append(f"{where} imports {name}: {room} is below or beside {target}")
    return found


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def test_every_room_has_a_rank():
    rooms = {path.relative_to(ENGINE).parts[0].removesuffix(".py") for path in python_files(ENGINE)} - {"__init__"}
    assert rooms <= set(RANK), f"give {rooms - set(RANK)} a place in RANK and in docs/architecture.md"


def test_engine_imports_point_downwards():
    found = [text for path in python_files(ENGINE) for text in violations(path.read_text("utf-8"), path)]
    assert not found, "\n".join(found)


def test_protocol_needs_the_standard_library_alone():
    path = ENGINE / "core" / "protocol.py"
    names = [name for name, _ in imports(ast.parse(path.read_text("utf-8")), "likeness.core")]
    assert all(name.split(".")[0] in {*sys.stdlib_module_names, "likeness"} for name in names), names


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core", "import torch"),
        ("core", "def f():\n    from scipy import linalg"),
        ("core", "from ..body import model"),
        ("body", "from ..capture.files import read"),
        ("capture", "from .. import asset"),
        ("surface", "import likeness.synthesis.picture"),
        ("field", "import importlib\nimportlib.import_module('likeness.surface.draped')"),
        ("jobs", "from ..cli import main"),
        ("asset", "import bpy"),
    ],
)
def test_a_wrong_import_is_seen(room, line):
    assert violations(line, ENGINE / room / "made_up.py")


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core", "import json, numpy as np"),
        ("jobs", "from ..asset import build"),
        ("body", "from .. import __version__"),
    ],
)
def test_a_right_import_is_let_through(room, line):
    assert not violations(line, ENGINE / room / "made_up.py")


def addon_violations(source: str, path: Path) -> list[str]:
    """Sentences about imports that Blender's Python cannot make."""
    own = {"bpy", "bmesh", "mathutils", "gpu", "gpu_extras", "bpy_extras", "blf", "bl_ui", "numpy", "blender_addon"}
    found = []
    for name, line in imports(ast.parse(source), package_of(path, ADDON, "blender_addon")):
        top = name.split(".")[0]
        if top not in own and top not in sys.stdlib_module_names:
            found.append(f"{path.name}:{line} imports {name}: Blender has bpy, NumPy and the standard library alone")
        if name.startswith("blender_addon.engine."):
            found.append(f"{path.name}:{line} imports {name}: the files beside the wheel run in a process of their own")
    return found


def test_addon_imports_nothing_that_blender_lacks():
    found = [text for path in python_files(ADDON) for text in addon_violations(path.read_text("utf-8"), path)]
    assert not found, "\n".join(found)


def test_addon_check_sees_torch():
    assert addon_violations("def f():\n    import torch", ADDON / "made_up.py")


def test_what_travels_in_the_zip_needs_the_standard_library_alone():
    for name in (
        "engine_env",
        "setup_checks",
        "setup_venv",
        "bootstrap",
        "testrun",
        "demo",
        "extension",
        "blender_env",
    ):
        path = ROOT / "install" / f"{name}.py"
        own = {file.stem for file in path.parent.glob("*.py")}
        tops = {found.split(".")[0] for found, _ in imports(ast.parse(path.read_text("utf-8")), "install")}
        assert tops <= {*sys.stdlib_module_names, *own}, f"{path.name} imports {tops}"


def test_every_package_that_the_engine_imports_is_declared():
    """A package that only comes along with another one may be gone with the next version of that other one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split("[=;]", entry)[0].lower().replace("_", "-") for group in lists for entry in group}
    providers = importlib.metadata.packages_distributions()
    found = {
        (name.split(".")[0], path.relative_to(ROOT).as_posix())
        for path in python_files(ENGINE)
        for name, _ in imports(ast.parse(path.read_text("utf-8")), package_of(path, ENGINE, "likeness"))
        if name.split(".")[0] not in {*sys.stdlib_module_names, "likeness"}
    }
    missing = [
        f"{where} imports {top}"
        for top, where in sorted(found)
        if not {name.lower().replace("_", "-") for name in providers.get(top, [top])} & declared
    ]
    assert ("torch", "engine/likeness/body/lbs.py") in found
    assert not missing, missing


def test_core_loads_without_torch_and_trimesh():
    code = (
        "import sys, pkgutil, importlib, likeness.core as core\n"
        "[importlib.import_module(f'likeness.core.{m.name}') for m in pkgutil.iter_modules(core.__path__)]\n"
        "print(' '.join(sorted({n.split('.')[0] for n in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "trimesh", "scipy", "PIL", "skimage", "msgspec", "igl"}, loaded


def test_files_and_functions_stay_readable():
    found = []
    for path in python_files(ENGINE, ADDON, ROOT / "install", ROOT / "tests", ROOT / "benchmarks"):
        text = path.read_text("utf-8")
        name = path.relative_to(ROOT).as_posix()
        if text.count("\n") > MAX_FILE_LINES:
            found.append(f"{name} has more than {MAX_FILE_LINES} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    found.append(f"{name}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}")
    assert not found, "\n".join(found)
