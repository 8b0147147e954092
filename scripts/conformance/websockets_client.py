"""Says who it is in each way a program may, subscribes, publishes text and bytes, and is given both."""

import json
import os
import struct
import sys

from websockets.sync.client import connect

url, token = sys.argv[1], os.environ["PUSHFLEET_TOKEN"]
topic = "conformance/websockets"
payload = bytes(range(256)) * 20


def receive(socket):
    message = socket.recv(timeout=20)
    if isinstance(message, str):
        return json.loads(message), None
    (length,) = struct.unpack(">I", message[:4])
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def until(socket, kind):
    while True:
        message, data = receive(socket)
        if message["type"] == kind:
            return message, data
        assert message["type"] not in ("error", "closing"), message


def converse(socket):
    until(socket, "welcome")
    socket.send(json.dumps({"type": "subscribe", "id": 1, "filters": [topic]}))
    until(socket, "subscribed")
    socket.send(json.dumps({"type": "publish", "id": 2, "topic": topic, "data": "long " * 1000}))
    assert until(socket, "publication")[0]["event"]["data"] == "long " * 1000
    header = json.dumps({"type": "publish", "id": 3, "topic": topic}).encode()
    socket.send(struct.pack(">I", len(header)) + header + payload)
    assert until(socket, "publication")[1] == payload


authorization = {"Authorization": f"Bearer {token}"}
with connect(url, subprotocols=["pushfleet.v1"], additional_headers=authorization) as socket:
    assert socket.subprotocol == "pushfleet.v1"
    converse(socket)
assert socket.close_code == 1000, socket.close_code

with connect(url, subprotocols=["pushfleet.v1"], compression=None) as socket:
    socket.send(json.dumps({"type": "auth", "token": token}))
    converse(socket)

with connect(url, subprotocols=["pushfleet.v1"]) as socket:
    socket.send("nonsense")
    assert receive(socket)[0]["code"] == "request_invalid"
