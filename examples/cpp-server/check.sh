#!/bin/sh
# Drives the server through every path: check.sh SERVER
. "$(dirname "$0")/../server-check.sh"

start
answers /ok 200
answers /ok 200 -I
answers /ok 200 --data-binary "a body"
answers /ok 405 -X DELETE
answers /nowhere 404
answers "/at?index=3" 200
answers "/throw?seats=1" 200
keeps_alive /ok "/at?index=0"
stop

dies /throw 6
dies "/at?index=9" 6
dies /virtual 6
dies /stale 11
dies /noexcept 6
dies /bad-alloc 6
exit $failed
