"""How the engine's environment is chosen and made: recipe, torch's builds, the program behind the panel's button."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import engine_env
import pytest
from engine_env import EngineRecipe, choose_backend, has_nvidia, torch_attempts

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("env/bin/python")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_pins_here_are_those_of_the_project():
    extras = project()["optional-dependencies"]
    assert set(engine_env.TORCH) <= set(extras["engine"])
    assert extras["build"] == [engine_env.BUILD_TOOL]


def test_every_dependency_is_pinned_exactly():
    lists = [project()["dependencies"], *project()["optional-dependencies"].values()]
    for requirement in (entry for group in lists for entry in group):
        assert requirement.split(";")[0].count("==") == 1, requirement
        assert not any(sign in requirement.split(";")[0] for sign in ("<", ">", "~", "*")), requirement


def test_constraints_agree_with_the_project():
    lines = (ROOT / "install" / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))
    wanted = [entry for group in project()["optional-dependencies"].values() for entry in group]
    for requirement in [*wanted, *project()["dependencies"]]:
        name, version = requirement.split(";")[0].lower().replace("_", "-").split("==")
        assert pinned.get(name, version) == version
    assert "torch" not in pinned, "torch's build differs by machine"


@pytest.mark.parametrize(
    ("platform", "nvidia", "wish", "backend"),
    [
        ("linux", True, "", "auto"), ("linux", False, "", "cpu"), ("win32", True, "", "auto"),
        ("darwin", True, "", "cpu"), ("linux", True, "cpu", "cpu"), ("linux", False, "auto", "auto"),
    ],
)  # fmt: skip
def test_backend_follows_the_driver_unless_wished_otherwise(platform, nvidia, wish, backend):
    assert choose_backend(platform, nvidia, wish) == backend


def test_nvidia_is_seen_by_its_driver():
    assert has_nvidia(lambda _: "/usr/bin/nvidia-smi", lambda _: False)
    assert has_nvidia(lambda _: None, lambda path: path == "/proc/driver/nvidia/version")
    assert not has_nvidia(lambda _: None, lambda _: False)


def test_cpu_on_linux_never_begins_with_the_cuda_build():
    attempts = torch_attempts("linux", "cpu", PYTHON, None)
    assert "--no-index" in attempts[0]
    assert "--torch-backend=cpu" in attempts[1]
    assert all(engine_env.TORCH[0] in command for command in attempts)


def test_a_graphics_card_asks_uv_first():
    assert "--torch-backend=auto" in torch_attempts("linux", "auto", PYTHON, None)[0]
    assert len(torch_attempts("darwin", "cpu", PYTHON, None)) == 1


def test_a_wheelhouse_asks_no_network(tmp_path):
    for backend in ("cpu", "auto"):
        (command,) = torch_attempts("linux", backend, PYTHON, tmp_path)
        assert "--no-index" in command
        assert str(tmp_path) in command


def recipe(tmp_path: Path, **changes: object) -> EngineRecipe:
    wheel, constraints = tmp_path / "likeness-0-py3-none-any.whl", tmp_path / "constraints.txt"
    for path in (wheel, constraints):
        if not path.exists():
            path.write_bytes(path.name.encode())
    values = {"requirement": wheel, "extras": ("engine",), "constraints": constraints, "hashed": (wheel,)}
    return EngineRecipe(**{**values, **changes})


def test_fingerprint_follows_everything_that_is_installed(tmp_path):
    first = recipe(tmp_path).fingerprint("3.11")
    assert recipe(tmp_path).fingerprint("3.11") == first
    assert recipe(tmp_path).fingerprint("3.12") != first
    assert recipe(tmp_path, backend="auto").fingerprint("3.11") != first
    (tmp_path / "constraints.txt").write_text("numpy==1")
    second = recipe(tmp_path).fingerprint("3.11")
    assert second != first
    (tmp_path / "likeness-0-py3-none-any.whl").write_bytes(b"newer")
    assert recipe(tmp_path).fingerprint("3.11") != second


def run_tool(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """engine_env.py as the panel starts it, from a copy that has only its own files beside it."""
    command = [sys.executable, str(ROOT / "install" / "engine_env.py"), *arguments]
    base = engine_env.venv.clean_environ()
    return subprocess.run(command, capture_output=True, text=True, env={**base, **environ}, timeout=120)


def test_without_network_the_button_gets_one_sentence(tmp_path):
    made = recipe(tmp_path)
    # Port 9 of this machine answers nobody, so this is what a machine without network sees.
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": "/dev/null"}
    nowhere |= {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_NO_CACHE_DIR": "1"}
    target = tmp_path / "engine"
    arguments = ("--target", str(target), "--wheel", str(made.requirement), "--constraints", str(made.constraints))
    done = run_tool(*arguments, "--json", **nowhere)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 4
    assert [event["event"] for event in events][-1] == "failed"
    assert events[-1]["code"] == "environment.network"
    assert done.stderr.strip() == events[-1]["message"]
    assert "Traceback" not in done.stdout + done.stderr
    assert not (target / engine_env.venv.STAMP).exists()


def test_a_missing_wheel_is_one_sentence(tmp_path):
    done = run_tool("--target", str(tmp_path / "x"), "--wheel", str(tmp_path / "none.whl"), "--json")
    assert done.returncode == 4
    assert "none.whl" in json.loads(done.stdout.splitlines()[-1])["message"]


def test_nothing_is_done_twice(tmp_path, monkeypatch):
    target, made = tmp_path / "engine", recipe(tmp_path)
    steps = []
    for name in ("_install_tools", "_install_torch", "_install_packages", "_verify"):
        monkeypatch.setattr(engine_env, name, lambda *_a, _name=name, **_k: steps.append(_name))
    monkeypatch.setattr(engine_env, "check_disk", lambda *_: None)
    bare = [sys.executable, "-m", "venv", "--without-pip"]
    monkeypatch.setattr(engine_env.venv, "make_venv", lambda folder, _: subprocess.run([*bare, folder], check=True))
    python = [sys.executable]
    progress = engine_env.venv.Progress("engine", engine_env.STAGES, stream=io.StringIO())
    assert engine_env.ensure_engine(target, made, python, progress)
    assert len(steps) == 4
    assert not engine_env.ensure_engine(target, made, python, progress)
    assert len(steps) == 4
    more = recipe(tmp_path, extras=("dev",))
    assert engine_env.ensure_engine(target, more, python, progress)
    assert engine_env.venv.read_stamp(target)["extras"] == ["dev", "engine"]
    progress.stream.close()
