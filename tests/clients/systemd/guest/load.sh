#!/bin/bash
# Until the file `stop` is there: requests over connections of their own, and connections alone, which are quicker. Leaves in
# `tally` how many, and in `failures` what went wrong.
rm -f stop tally failures
ca=/etc/pakhuis/certs/ca.crt requests=0 connections=0
touch failures
(
    while [ ! -e stop ]; do
        curl --silent --show-error --fail --cacert "$ca" https://localhost:5000/healthz >/dev/null 2>>failures
        requests=$((requests + 1))
    done
    echo "$requests requests" >>tally
) &
(
    while [ ! -e stop ]; do
        : 2>>failures <>/dev/tcp/127.0.0.1/5000 || echo "a connection is refused" >>failures
        connections=$((connections + 1))
        sleep 0.1
    done
    echo "$connections connections" >>tally
) &
wait
