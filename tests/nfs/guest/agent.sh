#!/bin/bash
# One connection of the control port: a line with a command comes in, its output and `exit: N` go out.
read -r line
# Nothing that the command leaves running may keep the connection open.
output=$(mktemp)
bash -c "$line" </dev/null >"$output" 2>&1
status=$?
cat "$output"
rm -f "$output"
echo "exit: $status"
