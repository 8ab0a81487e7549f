#!/usr/bin/env bash
# moto_server answers a PUT with If-None-Match: * by 412 if the key exists. But it serves each request
# in a thread of its own, and looks and writes in two steps: of several processes that write the same
# new key at once, more than one gets 200, where S3 lets one win. Tests of locks that are built on
# conditional writes then fail by chance, and the fault is the server's. Now and then a writer gets 500,
# since the buffer that its ETag is read from has been closed.
set -eu
version=5.2.5
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || :; rm -rf "$folder"' EXIT
cd "$folder"
pip() { python3 -m pip --disable-pip-version-check install -q "$@"; }
PIP_ROOT_USER_ACTION=ignore pip --target wheel "moto[s3]==$version" flask==3.1.3 flask-cors==6.0.5
export PYTHONPATH=$folder/wheel
python3 -c 'from importlib.metadata import version as v; print("moto", v("moto"), "werkzeug", v("werkzeug"))'
python3 -c 'from moto.server import main; main()' -H 127.0.0.1 -p 0 >log 2>&1 &
server=$!
for _ in $(seq 60); do
    port=$(sed -n 's,.*Running on http://127.0.0.1:\([0-9]*\).*,\1,p' log)
    [ -z "$port" ] || break
    sleep 0.5
done
[ -n "$port" ] || { cat log; exit 1; }

cat >race.py <<'PYTHON'
import http.client, multiprocessing, sys, time

WRITERS, MOST_ROUNDS, MOST_SECONDS, ENOUGH = 6, 1000, 30, 5
PORT = int(sys.argv[1])


# moto checks no signature, but without one it answers as to a stranger. It computes the checksum between
# its look and its write: small bodies without one let two win far less often (once in 1,000 rounds).
HEADERS = {
    "Authorization": "AWS4-HMAC-SHA256 "
    "Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    "If-None-Match": "*",
    "x-amz-sdk-checksum-algorithm": "SHA256",
}


def put(connection, path):
    connection.request("PUT", path, b"x" * 1_000_000, HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def write(pipe, barrier):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    while (number := pipe.recv()) is not None:
        barrier.wait(20)
        pipe.send(put(connection, f"/bucket/key-{number}"))


def main():
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    connection.request("PUT", "/bucket", headers=HEADERS)
    connection.getresponse().read()
    first, second = (put(connection, "/bucket/alone") for _ in range(2))
    print(f"one after the other: {first}, {second}")
    barrier = multiprocessing.Barrier(WRITERS)
    pairs = [multiprocessing.Pipe() for _ in range(WRITERS)]
    for _, theirs in pairs:
        multiprocessing.Process(target=write, args=(theirs, barrier), daemon=True).start()
    ours = [pair[0] for pair in pairs]
    rounds, several, most, end = 0, 0, 0, time.monotonic() + MOST_SECONDS
    while rounds < MOST_ROUNDS and several < ENOUGH and time.monotonic() < end:
        for pipe in ours:
            pipe.send(rounds)
        answers = [pipe.recv() for pipe in ours]
        if 200 not in answers or not {200, 412, 500}.issuperset(answers):
            sys.exit(f"unexpected answers: {answers}")
        rounds += 1
        if answers.count(200) > 1:
            several += 1
            most = max(most, answers.count(200))
            print(f"round {rounds}: {sorted(answers)}")
    print(f"at once: {rounds} rounds of {WRITERS} processes, in {several} more than one 200 (at most {most})")
    return (first, second) == (200, 412) and several > 0


sys.exit(0 if main() else "This has changed.")
PYTHON
timeout 60 python3 race.py "$port"
