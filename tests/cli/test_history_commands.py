from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgsnap.cli.config.file import load_config
from support.dumps.texts import entry, plain_dump
from support.running.commandline import SOURCE, CommandLine


def write_dump(folder: Path, *rows: str) -> str:
    path = folder / "dump.sql"
    path.write_bytes(plain_dump(*rows))
    return path.name


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    """Two snapshots of shop, the first tagged."""
    snap.ok("init")
    file = write_dump(snap.work, "1")
    snap.ok("commit", "-m", "first", "--file", file, "--database", "shop", "--tag", "one")
    file = write_dump(snap.work, "1", "2")
    snap.ok("commit", "-m", "second\nwith more", "--file", file, "--database", "shop")
    return snap


def test_init_makes_a_private_repository_and_a_config_that_finds_it(snap: CommandLine) -> None:
    made = snap.ok("init", "store", "--json").json
    folder = snap.work / "store"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert load_config(snap.work / "snap.toml").repository == folder
    assert 'repository = "store"' in (snap.work / "snap.toml").read_text()
    assert made["config_created"] is True
    assert snap.ok("log", "--json").json == []


def test_init_leaves_an_existing_config_alone_and_says_what_it_names(snap: CommandLine) -> None:
    (snap.work / "snap.toml").write_text("# mine\n")
    made = snap.ok("init", "elsewhere", "--json").json
    assert (snap.work / "snap.toml").read_text() == "# mine\n"
    assert "elsewhere" in made["notices"][0]


def test_init_refuses_a_folder_that_is_not_empty(snap: CommandLine) -> None:
    (snap.work / "full").mkdir()
    (snap.work / "full" / "file").touch()
    assert snap("init", "full").code == 10
    assert not (snap.work / "snap.toml").exists()


def test_the_last_line_of_a_commit_sums_it_up(snap: CommandLine) -> None:
    snap.ok("init")
    file = write_dump(snap.work, "1")
    result = snap.ok("commit", "-m", "x", "--file", file, "--database", "shop")
    words = result.out.splitlines()[-1].split("  ")
    assert len(words[0]) == 12
    assert words[1:3] == ["shop", "1 table"]
    assert words[4].endswith(" new")
    assert "commit shop: " in result.err


def test_quiet_leaves_only_the_result(snap: CommandLine) -> None:
    snap.ok("init")
    file = write_dump(snap.work, "1")
    # With its definition, so that there is nothing to warn of.
    made = entry("t", "TABLE", "CREATE TABLE public.t (a text);").encode()
    dump = snap.work / file
    dump.write_bytes(dump.read_bytes().replace(b"--\n-- Data for", made + b"--\n-- Data for", 1))
    result = snap.ok("commit", "-q", "-m", "x", "--file", file, "--database", "shop")
    assert result.err == ""
    assert len(result.out.splitlines()) == 1


def test_an_unchanged_dump_is_told_and_skipped_on_demand(shop: CommandLine) -> None:
    arguments = ("commit", "-m", "x", "--file", "dump.sql", "--database", "shop")
    skipped = shop.ok(*arguments, "--skip-unchanged")
    assert "nothing changed, no new snapshot made" in skipped.out
    assert len(shop.ok("log", "--json").json) == 2
    again = shop.ok(*arguments)
    assert again.out.startswith("nothing changed\n")
    assert len(shop.ok("log", "--json").json) == 3


def test_a_file_without_a_label_is_refused_before_it_is_read(snap: CommandLine) -> None:
    snap.ok("init")
    result = snap("commit", "-m", "x", "--file", "not-there.sql")
    assert result.code == 2
    assert "--database" in result.err


def test_the_dsn_labels_a_file_too(snap: CommandLine) -> None:
    snap.ok("init")
    file = write_dump(snap.work, "1")
    snap.setenv("DATABASE_URL", "postgresql://u@nowhere.invalid/orders")
    made = snap.ok("commit", "-m", "x", "--file", file, "--json").json
    assert made["database"] == "orders"


def test_an_empty_message_is_refused(snap: CommandLine) -> None:
    snap.ok("init")
    assert snap("commit", "-m", " ", "--file", "x", "--database", "y").code == 2


def test_a_tag_in_use_is_refused_and_moved_with_force(shop: CommandLine) -> None:
    arguments = ("commit", "-m", "x", "--file", "dump.sql", "--database", "shop", "--tag", "one")
    assert shop(*arguments, "--json").error["kind"] == "tag-exists"
    moved = shop.ok(*arguments, "--force", "--json").json
    assert shop.ok("show", "one", "--json").json["id"] == moved["id"]


def test_log_lists_the_newest_first(shop: CommandLine) -> None:
    assert [entry["message"] for entry in shop.ok("log", "--json").json] == [
        "second\nwith more",
        "first",
    ]
    text = shop.ok("log").out
    assert text.index("second") < text.index("(one)") < text.index("    first")
    assert "    with more" in text


def test_log_oneline_and_limit(shop: CommandLine) -> None:
    [line] = shop.ok("log", "--oneline", "--limit", "1").out.splitlines()
    assert line.endswith("second")
    assert shop("log", "--limit", "0").code == 2


def test_log_of_one_database_leaves_others_out(shop: CommandLine) -> None:
    shop.ok("commit", "-m", "other", "--file", "dump.sql", "--database", "blog")
    found = shop.ok("log", "--database", "blog", "--json").json
    assert [entry["database"] for entry in found] == ["blog"]
    assert "blog" in shop.ok("log", "--oneline").out
    nothing = shop.ok("log", "--database", "crm")
    assert nothing.out == ""
    assert 'no snapshots of database "crm"; there are some of blog, shop' in nothing.err


def test_latest_of_two_databases_is_the_one_of_the_dsn(shop: CommandLine) -> None:
    shop.ok("commit", "-m", "other", "--file", "dump.sql", "--database", "blog")
    assert shop("show", "latest", "--json").error["kind"] == "ambiguous-revision"
    for arguments in (["--database", "blog"], ["--dsn", "postgresql://h.invalid/blog"]):
        assert shop.ok("show", "latest", "--json", *arguments).json["database"] == "blog"


def test_tags_are_set_listed_moved_and_deleted(shop: CommandLine) -> None:
    first, second = (entry["id"] for entry in reversed(shop.ok("log", "--json").json))
    assert shop.ok("tag", "two").out == f"two -> {second[:12]}\n"
    assert shop("tag", "two", "one").code == 10
    assert "(was " in shop.ok("tag", "--force", "two", "one").out
    listed = {tag["name"]: tag["snapshot"] for tag in shop.ok("tag", "--json").json}
    assert listed == {"one": first, "two": first}
    shop.ok("tag", "--delete", "two")
    assert "two" not in shop.ok("tag").out
    assert shop("tag", "--delete", "two").code == 20
    assert shop("tag", "--delete", "one", "x").code == 2


def test_show_lists_the_sections_with_their_rows(shop: CommandLine) -> None:
    text = shop.ok("show", "latest").out
    [line] = [line for line in text.splitlines() if line.startswith("data public.t")]
    assert line.split()[2] == "2"
    sections = shop.ok("show", "one", "--json").json["sections"]
    assert [s["rows"] for s in sections if s["table"] == "t"] == [1]


def test_cat_gives_the_committed_bytes_back(shop: CommandLine) -> None:
    assert shop.ok("cat", "latest").out == (shop.work / "dump.sql").read_text()
    assert "1\n2\n" in shop.ok("cat", "latest", "--section", "data public.t").out
    assert shop("cat", "latest", "--section", "data public.nope").code == 20
    assert shop("cat", "latest", "--json").code == 2


def test_cat_stops_quietly_when_nobody_reads_on(shop: CommandLine) -> None:
    rows = (str(number) for number in range(200_000))
    file = write_dump(shop.work, *rows)
    shop.ok("commit", "-m", "big", "--file", file, "--database", "shop")
    child = shop.popen("cat", "latest")
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(timeout=30) == 1
    assert child.stderr is not None
    assert child.stderr.read() == ""


def test_log_starts_without_the_heavy_libraries(shop: CommandLine) -> None:
    code = "import sys; from pgsnap.cli import main; main(['-q', 'log']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE), "HOME": str(shop.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "psycopg", "rich", "sqlite_utils"}
