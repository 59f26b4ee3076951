#!/usr/bin/env python3
"""allow.py SOCKET FILE: serves the Interface-Ids in the first column of a CSV file.

The file is read again when it has changed.
"""
import csv
import os
import sys

import dhcp4o6_hook as hook

KEEP = 10  # seconds for which dhcp4d remembers what we say

socket, path = sys.argv[1:]
written = None
allowed = set()


def look():
    global written, allowed
    now = os.stat(path).st_mtime_ns
    if now != written:
        with open(path, newline="") as file:
            allowed = {row[0].encode() for row in csv.reader(file) if row}
        written = now


def decide(query):
    look()
    if query.interface_id in allowed:
        return hook.Continue(keep=KEEP)
    return hook.Drop("unknown", keep=KEEP)


hook.serve(socket, decide=decide, name="allow")
