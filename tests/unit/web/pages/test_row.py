"""The page of a row: its history goes on from page to page."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.model import SectionKind
from pgsnap.repository.repository import Repository
from pgsnap.web.pages.row import RowData, row_page
from support.dumps.scripted import dump, rows, table
from support.repositories.made import day, record


def test_pages_that_ended_early_have_together_what_one_page_has(repo: Repository) -> None:
    # All that changed is read of each snapshot: nothing is left of the chunk that the row was in.
    key = "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);"
    entry = f"--\n-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: -\n--\n\n{key}\n\n"
    for number in range(6):
        made = dump(table("public", "t", rows(900, seed=number)))
        parts = (
            replace(part, text=entry.encode()) if part.name.kind is SectionKind.POST_DATA else part
            for part in made.parts
        )
        record(repo, replace(made, parts=tuple(parts)), at=day(number + 1))
    [whole] = _pages(repo, None)
    assert whole.older is None
    assert whole.looked_at == 6
    parts = _pages(repo, 10_000)
    assert [part.looked_at for part in parts] == [2] * 5
    assert [event for part in parts for event in part.events] == list(whole.events)
    assert len(whole.events) == 6


def _pages(repo: Repository, read_bytes_max: int | None) -> list[RowData]:
    found: list[RowData] = []
    while not found or found[-1].older is not None:
        start = found[-1].older if found else None
        page = row_page(
            repo,
            "shop",
            ("public", "t"),
            "7",
            start=start,
            read_bytes_max=read_bytes_max,
        )
        assert isinstance(page.data, RowData)
        found.append(page.data)
    return found
