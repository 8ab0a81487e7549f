"""A bucket with object lock and a default retention: everything works there, nothing is lost, and
what an intruder hides or overwrites comes back from its first version (docs/offsite.md)."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from support.repositories.by_passphrase import DUMPS, secret_file
from support.running.commandline import CommandLine
from support.servers.object_stores import KEY, SECRET, moto

# In the order in which the document takes them.
PARTS = ("config", "keys/", "packs/", "snapshots/", "tags/", "notes/", "gc/notes/", "log/")


class LockedBucket:
    """What somebody with all rights for a bucket does, but those that a retention takes away."""

    def __init__(self, endpoint: str, name: str, mode: str) -> None:
        from botocore.session import Session

        self.name = name
        self._client: Any = Session().create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        self._client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": mode, "Days": 30}}
        self._client.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )

    def names(self, prefix: str) -> list[str]:
        found = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", ())]

    def put(self, name: str, data: bytes) -> None:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self._client.put_object(Bucket=self.name, Key=name, Body=data, ContentMD5=digest)

    def delete(self, name: str, version: str = "") -> None:
        which = {"VersionId": version} if version else {}
        self._client.delete_object(Bucket=self.name, Key=name, **which)

    def versions(self, prefix: str) -> dict[str, list[str]]:
        """Return the versions of each object, the oldest first."""
        found = defaultdict(list)
        listed = self._client.list_object_versions(Bucket=self.name, Prefix=prefix)
        for one in reversed(listed.get("Versions", ())):
            found[one["Key"]].append(one["VersionId"])
        return found

    def get(self, name: str, version: str) -> bytes:
        found = self._client.get_object(Bucket=self.name, Key=name, VersionId=version)
        data: bytes = found["Body"].read()
        return data

    def bring_back(self, prefix: str) -> None:
        """Do what the document says."""
        for part in PARTS:
            listed = self._client.list_object_versions(Bucket=self.name, Prefix=f"{prefix}/{part}")
            for marker in listed.get("DeleteMarkers", ()):
                if marker["IsLatest"]:
                    self.delete(marker["Key"], marker["VersionId"])
            for name, versions in self.versions(f"{prefix}/{part}").items():
                if len(versions) > 1:
                    self.put(name, self.get(name, versions[0]))


class Site:
    def __init__(self, snap: CommandLine, bucket: LockedBucket, *, encrypted: bool) -> None:
        self.snap = snap
        self.bucket = bucket
        self.url = f"s3://{bucket.name}/p?checksum=sha256"
        self.encrypts = ["--encrypt"] if encrypted else []
        if encrypted:
            secret = secret_file(snap.folder, "passphrase", b"open sesame\n")
            snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
        snap.ok("init", *self.encrypts, self.url)
        (snap.work / "snap.toml").write_text(f'repository = "{self.url}"\n')

    def commit(self, name: str) -> str:
        file = self.snap.work / f"{name}.sql"
        file.write_text(DUMPS[name])
        words = ("commit", "-m", "x", "--database", "shop", "--file", str(file))
        found: str = self.snap.ok(*words, "--tag", "moving", "--force", "--json").json["id"]
        return found


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    with moto(tmp_path_factory.mktemp("moto")) as running:
        yield running.endpoint, dict(running.environ)


def made(
    snap: CommandLine, endpoint: tuple[str, dict[str, str]], name: str, mode: str, encrypted: bool
) -> Site:
    for variable, value in endpoint[1].items():
        snap.setenv(variable, value)
    return Site(snap, LockedBucket(endpoint[0], name, mode), encrypted=encrypted)


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_all_commands_work_and_nothing_is_lost(
    snap: CommandLine, endpoint: tuple[str, dict[str, str]], encrypted: bool, mode: str
) -> None:
    site = made(snap, endpoint, f"works-{mode.lower()}-{encrypted:d}", mode, encrypted)
    first = site.commit("one")
    second = site.commit("two")
    before = site.bucket.versions("p/")
    snap.ok("forget", "--force", first)
    if encrypted:
        snap.ok("key", "rotate", "--yes")
        snap("key", "reencrypt", "--yes")
    for _ in range(2):
        done = snap.ok("gc", "--keep-last", "1", "--grace", "0s", "--json").json
        assert done["complete"] is True
    snap.ok("repair")
    snap.ok("reindex")
    assert snap.ok("verify", "--data", "--json").json["findings"] == []
    assert snap.ok("cat", second).out == DUMPS["two"]
    assert [one["id"] for one in snap.ok("log", "--json").json] == [second]
    after = site.bucket.versions("p/")
    for name, versions in before.items():
        assert set(versions) <= set(after[name])


def test_what_an_intruder_hid_or_overwrote_comes_back(
    snap: CommandLine, endpoint: tuple[str, dict[str, str]]
) -> None:
    site = made(snap, endpoint, "attacked", "COMPLIANCE", encrypted=True)
    made_here = {site.commit("one"): DUMPS["one"], site.commit("two"): DUMPS["two"]}
    bucket = site.bucket
    for pack in bucket.names("p/packs/"):
        with pytest.raises(Exception, match="Access Denied"):
            bucket.delete(pack, bucket.versions(pack)[pack][0])
    for part in ("packs/", "snapshots/", "log/", "keys/", "tags/"):
        overwritten, *hidden = bucket.names(f"p/{part}")
        bucket.put(overwritten, b"garbage")
        for name in hidden:
            bucket.delete(name)
    bucket.delete("p/config")
    for host in ("here", "another"):
        snap.setenv("XDG_CACHE_HOME", str(snap.folder / host))
        for words in (("log",), ("verify",), ("clone", site.url, f"copy-{host}")):
            assert snap(*words).code != 0
    bucket.bring_back("p")
    for host in ("here", "another"):
        snap.setenv("XDG_CACHE_HOME", str(snap.folder / host))
        assert snap.ok("verify", "--data", "--json").json["findings"] == []
        assert {one["id"] for one in snap.ok("log", "--json").json} == set(made_here)
        for snapshot, text in made_here.items():
            assert snap.ok("cat", snapshot).out == text
    snap.ok("clone", site.url, "copy")


def test_before_anything_is_given_up_older_versions_are_named(
    snap: CommandLine, endpoint: tuple[str, dict[str, str]]
) -> None:
    site = made(snap, endpoint, "hidden", "COMPLIANCE", encrypted=False)
    snapshot = site.commit("one")
    for pack in site.bucket.names("p/packs/"):
        site.bucket.delete(pack)
    for command in ("verify", "repair"):
        error = snap(command, "--json").error
        older, _, give_up = error["hint"].partition("Where there is neither, give up")
        assert "put back what came first" in older
        assert "--accept-loss" in give_up
    site.bucket.bring_back("p")
    assert snap.ok("cat", snapshot).out == DUMPS["one"]
    assert snap.ok("verify", "--data", "--json").json["findings"] == []


def test_without_a_checksum_the_error_says_what_to_add(
    snap: CommandLine, endpoint: tuple[str, dict[str, str]]
) -> None:
    site = made(snap, endpoint, "unchecked", "COMPLIANCE", encrypted=False)
    error = snap("init", f"s3://{site.bucket.name}/other", "--json").error
    assert error["message"].endswith("takes them with a checksum only")
    assert error["hint"] == "Add it to the URL: s3://BUCKET/PREFIX?checksum=sha256"
