#!/bin/sh
# Drives the server through every path: check.sh SERVER
set -u
server=$1
directory=$(mktemp -d)
pid=
trap 'test -n "$pid" && kill -9 "$pid" 2>/dev/null; rm -rf "$directory"' EXIT
failed=0

start() {
    : >"$directory/out"
    "$server" 0 >"$directory/out" 2>"$directory/err" &
    pid=$!
    tries=0
    while ! grep -q listening "$directory/out"; do
        tries=$((tries + 1))
        test $tries -lt 500 || { echo "does not start"; exit 1; }
        sleep 0.02
    done
    url=$(sed -n 's/.*listening on //p' "$directory/out" | tail -n 1)
}

verdict() { # WHAT GOT WANTED
    if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: $2 instead of $3"; failed=1; fi
}

# Answered with this status, and alive.
answers() { # PATH STATUS [CURL OPTIONS]
    path=$1 status=$2
    shift 2
    verdict "$path" "$(curl -s -m 20 -o /dev/null -w '%{http_code}' "$@" "$url$path")" "$status"
}

# Killed by this signal.
dies() { # PATH SIGNAL
    start
    curl -s -m 20 -o /dev/null "$url$1"
    wait "$pid" 2>/dev/null
    verdict "$1" "$(($? - 128))" "$2"
    pid=
}

start
answers /ok 200
answers /ok 200 -I
answers /ok 200 --data-binary "a body"
answers /ok 405 -X DELETE
answers /nowhere 404
answers "/at?index=3" 200
answers "/throw?seats=1" 200
verdict "keep-alive" "$(curl -s -m 20 -o /dev/null -o /dev/null -w '%{num_connects} ' "$url/ok" "$url/at?index=0")" "1 0 "
kill -9 "$pid"
wait "$pid" 2>/dev/null
pid=

dies /throw 6
dies "/at?index=9" 6
dies /virtual 6
dies /stale 11
dies /noexcept 6
dies /bad-alloc 6
exit $failed
