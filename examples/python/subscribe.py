"""Follows a topic filter. Usage: subscribe.py [filter [cursor]]"""

import os
import sys

import grpc
from pushfleet.publish.v1.publish_pb2 import SubscribeRequest
from pushfleet.publish.v1.publish_pb2_grpc import PublishServiceStub

target = os.environ.get("PUSHFLEET_GRPC_URL", "http://127.0.0.1:50051")
scheme, address = target.split("://")
channel = (
    grpc.secure_channel(address, grpc.ssl_channel_credentials())
    if scheme == "https"
    else grpc.insecure_channel(address)
)
topic_filter = sys.argv[1] if len(sys.argv) > 1 else "orders/#"
after = sys.argv[2] if len(sys.argv) > 2 else ""
stream = PublishServiceStub(channel).Subscribe(
    SubscribeRequest(filters=[topic_filter], after=after),
    metadata=[("authorization", "Bearer " + os.environ["PUSHFLEET_TOKEN"])],
)
for response in stream:
    # Keep the newest cursor: given as `after`, it resumes right behind what was seen.
    if response.WhichOneof("event") == "delivery":
        publication = response.delivery.publication
        print(publication.topic, publication.payload.decode(), flush=True)
    else:
        print("cursor", response.cursor, flush=True)
