"""Shell scripts that run inside a container. They need a POSIX shell, grep and sleep.

Every tool has a mark in its environment, by which it is found in /proc whoever started it. A tool
that is killed while the postmaster is process 1 of the container must not leave children behind:
the postmaster inherits them, and takes the death of an unknown child by a signal for a crash of one
of its own, which ends every session. So children are killed before their parents, which reap them;
and an orphan is left to exit by itself.
"""

from __future__ import annotations

from pgsnap.runners import installed

MARK_VARIABLE = "SNAP_CHILD"
"""The variable that holds the mark."""

MISSING = "missing"
"""Written by `START` for a missing program."""

START = f"""\
if command -v "$1" >/dev/null 2>&1; then
  echo "${MARK_VARIABLE} $$" >&2
  exec "$@"
fi
echo "${MARK_VARIABLE} {MISSING}" >&2
exit 127
"""
"""Writes its process ID to standard error, then executes its arguments."""

_SWEEP = """\
sweep() {
  init=
  read -r init </proc/1/comm
  round=0
  while [ $round -lt 40 ]; do
    left=
    for file in $(grep -ls "$1" /proc/[0-9]*/environ); do
      pid=${file#/proc/}
      pid=${pid%/environ}
      if [ "$init" = postgres ] && grep -qs "^PPid:[[:space:]]*1\\$" /proc/$pid/status; then
        continue
      fi
      left=1
      if [ $round -lt 20 ] && grep -qs "^PPid:[[:space:]]*$pid\\$" /proc/[0-9]*/status; then
        continue
      fi
      kill -s KILL $pid 2>/dev/null
    done
    [ "$left" ] || return 0
    round=$((round + 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
}
"""

ASK = """\
if grep -qs "$1" /proc/$2/environ; then
  kill -s TERM $2
  round=0
  while [ $round -lt $3 ] && grep -qs "$1" /proc/$2/environ; do
    round=$((round + 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
fi
"""
"""Sends SIGTERM to process $2, if it has the mark $1, and waits for its exit for $3 tenths of a
second."""

KILL = _SWEEP + 'sweep "$1"\n'
"""Kills every process that has the mark $1, and returns when none is left."""

WARDEN = (
    _SWEEP
    + f"""\
echo "${MARK_VARIABLE} $$" >&2
unset {MARK_VARIABLE}
while read -r line; do :; done
sweep "$1"
sleep 1
sweep "$1"
"""
)
"""Waits for the end of its input, then kills every process that has the mark $1, including any that
were just being started."""

FIND = f"""\
look() {{
  if [ -f "$1" ] && [ -x "$1" ]; then echo "$1	$("$1" --version 2>/dev/null)"; fi
}}
for name; do
  for folder in {installed.patterns()}; do look "$folder/$name"; done
  (IFS=:; for folder in $PATH; do look "$folder/$name"; done)
done
exit 0
"""
"""Writes path, tab and version of each program of these names, one per line."""
