"""Each thing that a machine can lack is one sentence that names it and says what to do."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from setup_checks import (
    BPY42_LIBRARIES,
    BPY_LIBRARIES,
    ENGINE_PYTHONS,
    GB,
    SetupError,
    can_load,
    check_disk,
    check_libraries,
    check_python,
    check_venv_modules,
    check_writable,
    explain_install_failure,
    find_python,
)

Usage = namedtuple("Usage", "total used free")


def one_sentence(error: pytest.ExceptionInfo[SetupError] | SetupError) -> str:
    """The message, after checking that it is one line that ends as a sentence does."""
    message = (error if isinstance(error, SetupError) else error.value).message
    assert "\n" not in message
    assert message.endswith(".")
    assert message[0].isupper()
    return message


def test_small_disk_is_refused_with_both_figures(tmp_path):
    with pytest.raises(SetupError) as error:
        check_disk(tmp_path / "not" / "yet", int(2.6 * GB), "The engine", lambda _: Usage(9, 8, int(1.04 * GB)))
    assert error.value.code == "environment.disk"
    assert "2.6 GB" in one_sentence(error)
    assert "1.0 GB" in error.value.message


def test_disk_is_measured_where_the_folder_will_lie(tmp_path):
    asked = []
    check_disk(tmp_path / "a" / "b", 1, "x", lambda path: asked.append(path) or Usage(9, 0, 9))
    assert asked == [tmp_path]


@pytest.mark.parametrize(("version", "bits"), [((3, 10, 2), 64), ((3, 14, 0), 64), ((3, 11, 7), 32)])
def test_wrong_python_is_refused(version, bits):
    with pytest.raises(SetupError) as error:
        check_python(version, ENGINE_PYTHONS, "The engine", bits)
    assert error.value.code == "environment.python"
    assert "3.11" in one_sentence(error)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_debian_python_without_venv_names_the_package(missing):
    with pytest.raises(SetupError) as error:
        check_venv_modules((3, 11, 2), lambda name: None if name == missing else object())
    assert "python3.11-venv" in one_sentence(error)


def test_missing_libraries_are_named_by_debian_package():
    lacking = {"libGL.so.1", "libSM.so.6"}
    with pytest.raises(SetupError) as error:
        check_libraries(BPY_LIBRARIES, "Blender 5.0", "linux", lambda name: name not in lacking)
    assert "apt-get install libgl1 libsm6" in one_sentence(error)


def test_libraries_are_looked_for_on_linux_alone():
    check_libraries(BPY42_LIBRARIES, "Blender 4.2", "win32", lambda _: False)
    check_libraries(BPY42_LIBRARIES, "Blender 4.2", "darwin", lambda _: False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shared objects are named like this on Linux alone")
def test_the_linker_is_really_asked():
    assert can_load("libc.so.6")
    assert not can_load("libnobody-has-this.so.7")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_library_table_covers_what_bpy_links():
    """What the shared object of an installed bpy links outside its wheel is either in our table or in libc."""
    root = Path(__file__).resolve().parents[2]
    found = list(root.glob(".venv-blender*/lib/python3*/site-packages/bpy/__init__*.so"))
    if not found:
        pytest.skip("no environment with bpy here")
    libc = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libgcc_s.so.1"}
    for file in found:
        done = subprocess.run(["ldd", str(file)], capture_output=True, text=True)
        outside = {
            line.split()[0]
            for line in done.stdout.splitlines()
            if "=>" in line and "site-packages" not in line.split("=>")[1] and "not found" not in line
        }
        direct = subprocess.run(["readelf", "-d", str(file)], capture_output=True, text=True)
        if direct.returncode != 0:
            pytest.skip("readelf (binutils) is not installed")
        needed = {line.split("[")[1].split("]")[0] for line in direct.stdout.splitlines() if "(NEEDED)" in line}
        table = BPY42_LIBRARIES if "blender42" in str(file) else BPY_LIBRARIES
        assert (needed & outside) - libc <= set(table), file


FAILURES = {
    "environment.network": "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError("
    '"[Errno -3] Temporary failure in name resolution")\'\nERROR: No matching distribution found for numpy==2.4.6',
    "environment.disk": "Collecting torch\nERROR: Could not install packages due to an OSError: "
    "[Errno 28] No space left on device",
    "environment.library": "Traceback (most recent call last):\nImportError: libXi.so.6: cannot open shared object "
    "file: No such file or directory",
    "environment.package": "ERROR: Could not find a version that satisfies the requirement bpy==5.0.1\n"
    "ERROR: No matching distribution found for bpy==5.0.1",
    "environment.read_only": "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: 'x'",
}


@pytest.mark.parametrize("code", FAILURES)
def test_what_an_installer_printed_becomes_a_sentence(code):
    error = explain_install_failure(FAILURES[code], "the engine's packages", Path("setup.log"))
    assert error.code == code
    assert "setup.log" in one_sentence(error)


def test_a_missing_library_found_late_names_its_package():
    assert "libxi6" in explain_install_failure(FAILURES["environment.library"], "Blender 5.0").message


def test_an_unknown_failure_shows_the_last_error_line():
    error = explain_install_failure("ERROR: something odd\nnotice: pip is old\n", "x")
    assert "something odd" in one_sentence(error)
    assert "no output" in explain_install_failure("", "x").message


def test_read_only_folder(tmp_path, monkeypatch):
    check_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []

    def refuse(_path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(SetupError) as error:
        check_writable(tmp_path / "new")
    assert str(tmp_path) in one_sentence(error)


def test_this_python_is_taken_when_it_fits():
    assert find_python([sys.version_info[:2]], "x") == [sys.executable]


def test_another_installed_python_is_found(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("sys.platform", "linux")
    asked = []

    def version_of(command):
        asked.append(command)
        return (3, 12) if command == ["python3.12"] else None

    assert find_python(ENGINE_PYTHONS, "x", (3, 14), version_of) == ["python3.12"]
    assert asked[0] == ["python3.11"]


def test_no_fitting_python_is_a_sentence(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SetupError) as error:
        find_python([(3, 11)], "Blender 5.0", (3, 13, 1))
    assert "3.13" in one_sentence(error)
