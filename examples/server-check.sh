# What the checks of the example servers share; sourced by their check.sh, with the server as the first argument.
set -u
server=$1
directory=$(mktemp -d)
pid=
trap 'test -n "$pid" && kill -9 "$pid" 2>/dev/null; rm -rf "$directory"' EXIT
failed=0

# Until the server has said so many times where it listens, for at most ten seconds.
listening() { # TIMES
    tries=0
    while [ "$(grep -c listening "$directory/out")" -lt "$1" ]; do
        tries=$((tries + 1))
        test $tries -lt 500 || return 1
        sleep 0.02
    done
}

start() {
    : >"$directory/out"
    "$server" 0 >"$directory/out" 2>"$directory/err" &
    pid=$!
    listening 1 || { echo "does not start"; exit 1; }
    url=$(sed -n 's/.*listening on //p' "$directory/out" | tail -n 1)
}

stop() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    pid=
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

# Two requests are answered on one connection.
keeps_alive() { # PATH PATH
    verdict "keep-alive" \
        "$(curl -s -m 20 -o /dev/null -o /dev/null -w '%{num_connects} ' "$url$1" "$url$2")" "1 0 "
}

# Killed by this signal.
dies() { # PATH SIGNAL
    start
    curl -s -m 20 -o /dev/null "$url$1"
    wait "$pid" 2>/dev/null
    verdict "$1" "$(($? - 128))" "$2"
    pid=
}
