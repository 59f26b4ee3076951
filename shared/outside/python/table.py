#!/usr/bin/env python3
"""table.py SOCKET FILE: gives the addresses of a CSV file with the columns Interface-Id and address.

The file is read again when it has changed.
"""
import csv
import os
import sys

import dhcp4o6_hook as hook

KEEP = 10  # seconds for which dhcp4d remembers what we say

socket, path = sys.argv[1:]
written = None
addresses = {}


def look():
    global written, addresses
    now = os.stat(path).st_mtime_ns
    if now != written:
        with open(path, newline="") as file:
            addresses = {row[0].encode(): row[1].strip() for row in csv.reader(file) if row}
        written = now


def decide(query):
    look()
    address = addresses.get(query.interface_id)
    if address is None:
        return hook.Drop("unknown", keep=KEEP)
    return hook.Continue(keep=KEEP, address=address)


hook.serve(socket, decide=decide, name="table")
