"""Publishes three orders. Usage: publish.py [topic]"""

import os
import sys
import uuid

import grpc
from pushfleet.publish.v1.publish_pb2 import Draft, PublishBatchRequest
from pushfleet.publish.v1.publish_pb2_grpc import PublishServiceStub

target = os.environ.get("PUSHFLEET_GRPC_URL", "http://127.0.0.1:50051")
scheme, address = target.split("://")
channel = (
    grpc.secure_channel(address, grpc.ssl_channel_credentials())
    if scheme == "https"
    else grpc.insecure_channel(address)
)
topic = sys.argv[1] if len(sys.argv) > 1 else "orders/42"
drafts = [
    Draft(
        id=str(uuid.uuid4()),  # made once: a retry with the same id stores nothing twice
        topic=topic,
        content_type="application/json",
        payload=b'{"total":%d}' % total,
    )
    for total in (1, 2, 3)
]
response = PublishServiceStub(channel).PublishBatch(
    PublishBatchRequest(drafts=drafts),
    metadata=[("authorization", "Bearer " + os.environ["PUSHFLEET_TOKEN"])],
    timeout=30,
)
for result in response.results:
    if result.WhichOneof("outcome") == "refusal":
        sys.exit(f"{result.refusal.code}: {result.refusal.message}")
    print("stored", result.receipt.id)
