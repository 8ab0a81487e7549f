# snap with PostgreSQL's client programs of 14 to 19: pg_dump must be of the server's own major
# version, and snap takes the one that fits. docs/container.md is the page about it. The step with
# PGDG needs apt.postgresql.org: without it, see below.
#
#   docker build --tag pgsnap .

ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /usr/src/snap
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
RUN python3 -m venv /opt/snap \
    && /opt/snap/bin/pip install --no-cache-dir '.[age,aws,notify,sftp]' \
    && /opt/snap/bin/pip uninstall --yes pip


FROM ${BASE}
# PostgreSQL's own packages: Debian has one version. Their key is in Debian's package of the wrappers.
# Without PGDG only what Debian itself has can be installed: --build-arg PGDG= --build-arg CLIENTS=17
ARG PGDG=https://apt.postgresql.org/pub/repos/apt
ARG CLIENTS="14 15 16 17 18 19"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates python3 postgresql-client-common \
    && if [ -n "$PGDG" ]; then \
        printf '%s\n' 'Types: deb' "URIs: $PGDG" 'Suites: trixie-pgdg' 'Components: main 19' \
            'Signed-By: /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc' \
            >/etc/apt/sources.list.d/pgdg.sources \
        && apt-get update; \
    fi \
    && apt-get install --yes --no-install-recommends \
        $(printf 'postgresql-client-%s ' $CLIENTS) \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/snap /opt/snap

# It may run under any id (--user): then too caches have a place.
RUN useradd --uid 1000 --home-dir /var/lib/snap snap \
    && install --directory --mode 1777 /var/lib/snap /snap
ENV PATH=/opt/snap/bin:$PATH HOME=/var/lib/snap LANG=C.UTF-8
USER snap
# Where snap.toml and database/backups lie: --volume "$PWD:/snap".
WORKDIR /snap
ENTRYPOINT ["snap"]
CMD ["help"]
