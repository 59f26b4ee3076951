#!/usr/bin/env python3
"""accounting.py SOCKET FILE: appends a line of JSON to a file for each change of a lease.

FILE.cursor keeps how far it has come, so that nothing is missing after a pause.
"""
import json
import os
import sys

import dhcp4o6_hook as hook

socket, path = sys.argv[1:]
lines = open(path, "a")


def told(event):
    line = {
        "time": event.time / 1000,
        "event": event.event,
        "address": str(event.address),
        "mac": event.mac,
        "expires": event.expires,
    }
    lines.write(json.dumps(line) + "\n")
    lines.flush()
    os.fsync(lines.fileno())


hook.serve(socket, told=told, cursor=path + ".cursor", name="accounting")
