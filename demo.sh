#!/bin/sh
# The three systems of the suite, one after another, each with real input and
# its output on the screen. Called by "make demo"; needs nothing but bin/.
set -eu
cd "$(dirname "$0")"
PATH=$PWD/bin:$PATH

IPC_DIR=$(mktemp -d)
export IPC_DIR
server=

# finish ends the server if it still runs. rmdir fails, and with it the demo, if a FIFO
# is left.
finish() {
	code=$?
	trap '' INT TERM HUP
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true # it may have ended
		wait "$server" || true
	fi
	rmdir "$IPC_DIR" || code=1
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# slowly passes lines on as if somebody typed them.
slowly() { while IFS= read -r line; do echo "$line"; sleep 0.1; done; }

chapter() { printf '\n=== %s\n\n' "$1"; }

chapter "1  An anonymous pipe: parent and child"
pipe-demo --interval 200ms

chapter "2  A named pipe: one client, three readers share the lines of README.md"
fifo-server & server=$!
head -n 12 README.md | slowly | fifo-client --wait 5s --quiet
wait $server

chapter "3  Shared memory, with a FIFO as its gate: the message quit ends both"
shm-server & server=$!
{ head -n 12 README.md; echo quit; } | slowly | shm-client --wait 5s --quiet
wait $server
server=

chapter "Done: nothing was left behind in $IPC_DIR"
