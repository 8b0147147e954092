"""A client with a session of an hour that comes back by itself, and prints a line of JSON for all that happens.

`paho_session.py <host> <port> <token> <client id> [<filter> <qos>]...` subscribes, and publishes each line that it
reads: {"topic", "payload", "qos"}.
"""

import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

host, port, token, name = sys.argv[1:5]
filters = [(topic, SubscribeOptions(qos=int(qos))) for topic, qos in zip(sys.argv[5::2], sys.argv[6::2])]
# By packet identifier: an acknowledgement may come before the client says which packet it is for.
payloads = {}
acknowledged = set()
subscribed = False


def say(**what):
    print(json.dumps(what), flush=True)


def on_connect(client, userdata, flags, reason, said):
    global subscribed
    present = flags["session present"] if isinstance(flags, dict) else flags.session_present
    say(connected=str(reason), present=bool(present))
    if str(reason) == "Success" and filters and not subscribed:
        client.subscribe(filters)


def on_subscribe(*_):
    global subscribed
    subscribed = True
    say(subscribed=True)


def on_message(client, userdata, message):
    said = dict(getattr(message.properties, "UserProperty", []))
    say(topic=message.topic, payload=message.payload.decode(), id=said.get("id"))


def on_publish(client, userdata, mid, *_):
    acknowledged.add(mid)
    settle(mid)


def settle(mid):
    if mid in acknowledged and mid in payloads:
        acknowledged.discard(mid)
        say(acknowledged=payloads.pop(mid))


versions = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*versions, client_id=name, protocol=mqtt.MQTTv5)
client.username_pw_set("token", token)
client.reconnect_delay_set(min_delay=1, max_delay=1)
client.max_inflight_messages_set(16)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_publish = on_publish
client.on_disconnect = lambda *_: say(disconnected=True)
asked = Properties(PacketTypes.CONNECT)
asked.SessionExpiryInterval = 3600
asked.UserProperty = ("cloudevents", "binary")
client.connect(host, int(port), clean_start=False, properties=asked)
client.loop_start()
for line in sys.stdin:
    given = json.loads(line)
    made = client.publish(given["topic"], given["payload"], qos=given["qos"])
    payloads[made.mid] = given["payload"]
    settle(made.mid)
client.disconnect()
client.loop_stop()
