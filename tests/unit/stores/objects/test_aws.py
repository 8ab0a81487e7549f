"""Where credentials of AWS are looked for, in which order, and what is said without any."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.stores.objects.aws import Aws, aws

CREDENTIALS = """
[default]
aws_access_key_id = KEY-OF-DEFAULT
aws_secret_access_key = geheim-default

[ops]
aws_access_key_id = KEY-OF-OPS
aws_secret_access_key = geheim=ops%with;signs
aws_session_token = geheim-token
"""
CONFIG = """
[default]
region = eu-central-1

[profile ops]
region = eu-west-1
endpoint_url = https://minio.example
s3 =
    max_concurrent_requests = 20

[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = default

[profile process]
credential_process = {process}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    process = tmp_path / "process"
    process.write_text(
        "#!/bin/sh\n"
        'echo \'{"Version": 1, "AccessKeyId": "KEY-OF-PROCESS", "SecretAccessKey": "geheim-p"}\'\n'
    )
    process.chmod(process.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "credentials").write_text(CREDENTIALS)
    (tmp_path / "config").write_text(CONFIG.format(process=process))
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }


def keys(found: Aws) -> tuple[str, str, str | None]:
    assert found.provider is not None
    given = found.provider()
    return given["access_key_id"], given["secret_access_key"], given.get("token")


def test_the_environment_goes_before_files(files: dict[str, str]) -> None:
    environ = {**files, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "geheim"}
    found = aws(environ, {})
    assert keys(found) == ("KEY", "geheim", None)
    assert "AWS_ACCESS_KEY_ID" in found.source
    # The rest of the default profile holds all the same.
    assert found.where.region == "eu-central-1"


def test_a_profile_of_the_url_goes_before_the_environment(files: dict[str, str]) -> None:
    environ = {**files, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "geheim"}
    found = aws(environ, {"profile": "ops"})
    assert keys(found) == ("KEY-OF-OPS", "geheim=ops%with;signs", "geheim-token")


def test_a_profile_is_read_from_both_files(files: dict[str, str]) -> None:
    # A token that is left over in the environment is not mixed with a profile's key.
    found = aws({**files, "AWS_PROFILE": "ops", "AWS_SESSION_TOKEN": "other"}, {})
    assert keys(found) == ("KEY-OF-OPS", "geheim=ops%with;signs", "geheim-token")
    assert (found.where.region, found.where.endpoint) == ("eu-west-1", "https://minio.example")
    assert found.source == 'the profile "ops"'
    assert found.secrets == {"geheim=ops%with;signs", "geheim-token"}


def test_without_a_name_it_is_the_default_profile(files: dict[str, str]) -> None:
    assert keys(aws(files, {})) == ("KEY-OF-DEFAULT", "geheim-default", None)


def test_the_url_goes_before_all_for_endpoint_and_region(files: dict[str, str]) -> None:
    environ = {
        **files,
        "AWS_PROFILE": "ops",
        "AWS_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": "https://general.example",
        "AWS_ENDPOINT_URL_S3": "https://s3.example",
    }
    where = aws(environ, {}).where
    assert (where.region, where.endpoint) == ("us-west-2", "https://s3.example")
    where = aws(environ, {"endpoint": "http://here", "region": "there"}).where
    assert (where.region, where.endpoint) == ("there", "http://here")


def test_a_profile_that_runs_a_process_is_read_by_botocore(files: dict[str, str]) -> None:
    pytest.importorskip("botocore", reason="needs botocore: pip install 'pgsnap[aws]'")
    found = aws({**files, "AWS_PROFILE": "process"}, {})
    assert keys(found) == ("KEY-OF-PROCESS", "geheim-p", None)
    assert found.source == 'the profile "process", by botocore'


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AWS_PROFILE": "absent"}, 'no profile "absent"'),
        ({"AWS_ACCESS_KEY_ID": "KEY"}, "AWS_SECRET_ACCESS_KEY is not"),
    ],
)
def test_what_is_incomplete_is_an_error(
    files: dict[str, str], environ: dict[str, str], words: str
) -> None:
    with pytest.raises(StoreError) as caught:
        aws({**files, **environ}, {})
    assert words in caught.value.message
    assert caught.value.hint


def test_without_any_it_says_where_it_looked(tmp_path: Path) -> None:
    environ = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "absent"),
        "AWS_CONFIG_FILE": str(tmp_path / "absent-too"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.raises(StoreError) as caught:
        aws(environ, {})
    assert str(tmp_path / "absent") in caught.value.detail
    del environ["AWS_EC2_METADATA_DISABLED"]
    assert "role of this machine" in aws(environ, {}).source
    environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/token"
    assert "web identity" in aws(environ, {}).source


def test_secrets_are_in_no_representation(files: dict[str, str]) -> None:
    assert "geheim" not in repr(aws({**files, "AWS_PROFILE": "ops"}, {}))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("no section\n")
    with pytest.raises(StoreError) as caught:
        aws({"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_CONFIG_FILE": "/dev/null"}, {})
    assert str(path) in caught.value.message
