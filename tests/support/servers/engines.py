"""A stand-in for docker and podman: it runs tools on this host, in a session of their own, so that
they outlive its client as those in a container do."""

from __future__ import annotations

import json
from pathlib import Path

_ENGINE = """\
#!/bin/sh
printf '%s\\n' "$*" >>"{folder}/{name}.log"
if [ "$1 $2" = "container inspect" ]; then
  cat "{folder}/{name}/$3.json" 2>/dev/null && exit
  echo "Error: no such container $3" >&2
  exit 1
fi
if [ "$1" = compose ]; then
  shift
  exec "{folder}/bin/docker-compose" "$@"
fi
[ "$1" = exec ] || exit 125
shift
input=/dev/null
while :; do
  case $1 in
    --interactive) input=; shift;;
    --env|--user) shift 2;;
    *) break;;
  esac
done
if [ ! -e "{folder}/{name}/$1.json" ]; then
  echo "Error: no such container $1" >&2
  exit 125
fi
shift
if [ "$input" ]; then exec setsid -w "$@" </dev/null; fi
exec setsid -w "$@"
"""


class Engines:
    """Stand-ins in `folder`/bin, to be put on PATH; what each was asked stands in its log."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        for name in names:
            (folder / name).mkdir()
            self.program(name, _ENGINE.format(folder=folder, name=name))

    def program(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def container(
        self, engine: str, name: str, *, status: str = "running", service: str = "", **env: str
    ) -> None:
        """Let *engine* have a container."""
        labels = {"com.docker.compose.service": service} if service else None
        facts = {
            "Id": name,
            "State": {"Status": status},
            "Config": {"Env": [f"{key}={value}" for key, value in env.items()], "Labels": labels},
        }
        (self.folder / engine / f"{name}.json").write_text(json.dumps([facts]))

    def asked(self, engine: str) -> str:
        """Return all arguments that *engine* was called with."""
        log = self.folder / f"{engine}.log"
        return log.read_text() if log.exists() else ""
