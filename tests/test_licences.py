"""Every data, weight, picture and sample file in git has a licence line, and every licence its text."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LICENSES = ROOT / "LICENSES"
#: Source text says its licence itself or by its folder's row; everything else needs a row that means it.
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".sh", ".cfg", ".yml", ".yaml", ".typed", ""}
#: Rows that exist for source files and documents: no licence of a data file may rest on them.
CODE_ROWS = {"engine/**", "install/**", "tests/**", "*"}


def rows() -> list[tuple[str, str, str]]:
    """(path glob, licence, origin) of LICENSES/INDEX.md."""
    lines = (LICENSES / "INDEX.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return [(path.strip("`"), licence, origin) for path, licence, origin in cells]


def matches(name: str, glob: str) -> bool:
    """Whether a glob covers a path: `**` crosses folders, `*` stays in one."""
    if "**" in glob:
        return fnmatchcase(name, glob.replace("**", "*"))
    return name.count("/") == glob.count("/") and fnmatchcase(name, glob)


def row_of(name: str, table: list[tuple[str, str, str]]) -> tuple[str, str, str] | None:
    """The first row that covers the path."""
    return next((row for row in table if matches(name, row[0])), None)


def unlicensed(names: list[str], table: list[tuple[str, str, str]]) -> list[str]:
    """Data files without a row of their own."""
    data = [name for name in names if Path(name).suffix.lower() not in TEXT_SUFFIXES]
    found = {name: row_of(name, table) for name in data}
    return [name for name, row in found.items() if row is None or row[0] in CODE_ROWS]


def tracked() -> list[str]:
    """Paths in git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("this is no git checkout, so nobody can tell which files belong to the project")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def test_every_data_file_has_a_licence_line():
    names = tracked()
    assert any(Path(name).suffix == ".npz" for name in names), "the list of files is not the project's"
    assert unlicensed(names, rows()) == []


def test_a_new_data_file_without_a_line_is_seen():
    assert unlicensed(["engine/likeness/body/secret.npz", "blob.bin", "engine/a.py"], rows()) == [
        "engine/likeness/body/secret.npz", "blob.bin",
    ]  # fmt: skip


def test_every_licence_has_its_text():
    for path, licence, origin in rows():
        assert (LICENSES / f"{licence}.txt").is_file(), f"{path}: LICENSES/{licence}.txt is missing"
        assert origin, f"{path}: no origin"
        assert not re.search(r"\bNC\b|non-commercial", licence), f"{path}: {licence} may not ship"


def test_texts_are_the_real_ones():
    heads = {"GPL-3.0-or-later": "GNU GENERAL PUBLIC LICENSE", "Apache-2.0": "Apache License", "CC0-1.0": "CC0 1.0"}
    for name, head in heads.items():
        text = (LICENSES / f"{name}.txt").read_text("utf-8")
        assert head in text
        assert len(text) > 6000


def test_every_line_for_data_still_means_something():
    names = tracked()
    folders = {name.split("/")[0] for name in names}
    present = [path for path, _, _ in rows() if path.split("/")[0] in folders]
    dead = [path for path in present if not any(matches(name, path) for name in names)]
    assert not dead, f"no file in git is covered by {dead}"


def test_clips_carry_the_licence_of_their_row():
    np = pytest.importorskip("numpy")
    table = rows()
    for name in tracked():
        if name.startswith("engine/likeness/core/clips/") and name.endswith(".npz"):
            with np.load(ROOT / name, allow_pickle=False) as clip:
                inside = str(clip["licence"])
            row = row_of(name, table)
            assert row is not None
            assert ("CC0" in inside) == (row[1] == "CC0-1.0"), f"{name}: the file says {inside}, the table {row[1]}"
