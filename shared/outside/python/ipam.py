#!/usr/bin/env python3
"""ipam.py SOCKET URL: gives the address that an IPAM says.

It gets URL?interface-id=HEX&mac=MAC. The answer is {"address": "192.0.2.7"}, or status 404 for a
client that is not to be served.
"""
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import dhcp4o6_hook as hook

socket, url = sys.argv[1:]


def decide(query):
    asked = {"interface-id": (query.interface_id or b"").hex(), "mac": query.mac}
    try:
        with urllib.request.urlopen(url + "?" + urllib.parse.urlencode(asked), timeout=2) as response:
            return hook.Continue(keep=300, address=json.load(response)["address"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return hook.Drop("unknown", keep=30)
        raise  # no answer: DHCP4D_OUTSIDE_POLICY decides


hook.serve(socket, decide=decide, workers=32, name="ipam")
