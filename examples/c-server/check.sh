#!/bin/sh
# Drives the server through every path: check.sh SERVER
. "$(dirname "$0")/../server-check.sh"

start
answers /ok 200
answers /ok 200 -I
answers /nowhere 404
answers /ok 200 --data-binary "a body"
answers /ok 405 -X DELETE
answers /ok 400 -H "Transfer-Encoding: chunked" --data-binary x
answers "/divide?by=3" 200
answers "/null?customer=1" 200
answers "/null?customer=7" 404
answers "/abort?stock=1" 200
answers "/leak?mib=2" 200
answers "/threads?n=50" 200
keeps_alive /ok /fork
verdict "/fork" "$(curl -s -m 20 "$url/fork" | sed 's/child [0-9]* of //')" "$pid"
answers /exec 200
listening 2
verdict "same process after /exec" "$(curl -s -m 20 "$url/fork" | sed 's/child [0-9]* of //')" "$pid"
stop

dies "/divide?by=0" 8
dies /null 11
dies /abort 6
dies /smash 11
dies /sigsegv-handler 11
exit $failed
