#!/bin/sh
# The three systems of the suite, one after another, each with real input and
# its output on the screen. Called by "make demo"; needs nothing but bin/.
set -eu
cd "$(dirname "$0")"
PATH=$PWD/bin:$PATH

IPC_DIR=$(mktemp -d)
export IPC_DIR
trap 'rmdir "$IPC_DIR"' EXIT # fails, and with it the demo, if a FIFO were left

# slowly passes lines on as if somebody typed them.
slowly() { while IFS= read -r line; do echo "$line"; sleep 0.1; done; }

chapter() { printf '\n=== %s\n\n' "$1"; }

chapter "1  An anonymous pipe: parent and child"
pipe-demo --interval 200ms

chapter "2  A named pipe: one client, three readers share the lines of README.md"
fifo-server &
head -n 12 README.md | slowly | fifo-client --wait 5s --quiet
wait $!

chapter "3  Shared memory, with a FIFO as its gate: the message quit ends both"
shm-server &
{ head -n 12 README.md; echo quit; } | slowly | shm-client --wait 5s --quiet
wait $!

chapter "Done: nothing was left behind in $IPC_DIR"
