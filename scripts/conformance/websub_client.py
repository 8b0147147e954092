"""Discovers the hub of a topic, subscribes with a secret, is given content, renews, and unsubscribes."""

import queue
import sys
import threading

import flask
import flask_websub.subscriber as library

resource, port = sys.argv[1], int(sys.argv[2])
secret = "only the hub and I know"
events = queue.Queue()

# It gives secrets to hubs by https alone; this one is on the same machine.
library.is_secure = lambda url: True


class Storage(dict):
    """What it has subscribed to, and what it has asked for."""


app = flask.Flask(__name__)
app.config["SERVER_NAME"] = f"127.0.0.1:{port}"
subscriber = library.Subscriber(Storage(), Storage())
app.register_blueprint(subscriber.build_blueprint(url_prefix="/callbacks"))
subscriber.add_listener(lambda topic, callback, body: events.put(("content", body.decode())))
subscriber.add_success_handler(lambda topic, callback, mode: events.put(("success", mode)))
subscriber.add_error_handler(lambda topic, callback, reason: events.put(("error", reason)))
threading.Thread(target=lambda: app.run(port=port, threaded=True), daemon=True).start()


def expect(*wanted):
    while True:
        event = events.get(timeout=30)
        # Content may come again.
        if event == wanted:
            return
        assert event[0] == "content", event


def do(action, *args, **kwargs):
    with app.app_context():
        return action(*args, **kwargs)


found = library.discover(resource)
assert found["topic_url"].endswith("/v1/topics?topic=conformance%2Fwebsub"), found
callback = do(subscriber.subscribe, **found, secret=secret, lease_seconds=3600)
expect("success", "subscribe")
assert subscriber.storage[callback]["lease_seconds"] == 3600, subscriber.storage
print("subscribed", flush=True)
# What it cannot verify it does not tell of.
expect("content", "signed")
do(subscriber.renew, callback)
expect("success", "subscribe")
do(subscriber.unsubscribe, callback)
expect("success", "unsubscribe")
print("done", flush=True)
