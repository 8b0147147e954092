"""Follows a filter as CloudEvents and prints each as a line of JSON; publishes an event for each line that it reads."""

import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

host, port, token, topic_filter = sys.argv[1:5]


def say(**what):
    print(json.dumps(what), flush=True)


def properties(kind, pairs, **more):
    made = Properties(kind)
    made.UserProperty = list(pairs)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def on_connect(client, userdata, flags, reason, said):
    if str(reason) != "Success":
        say(refused=str(reason), why=getattr(said, "ReasonString", ""), code=dict(said.UserProperty)["pushfleetcode"])
        client.disconnect()
        return
    client.subscribe(topic_filter, options=SubscribeOptions(qos=2))


def on_message(client, userdata, message):
    said = dict(message.properties.UserProperty)
    say(event={name: said[name] for name in ("id", "source", "type", "subject")}, data=message.payload.decode())


versions = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*versions, client_id="paho", protocol=mqtt.MQTTv5)
client.username_pw_set("token", token)
client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *_: say(subscribed=topic_filter)
client.on_disconnect = lambda *_: say(ended=True)
client.connect(host, int(port), properties=properties(PacketTypes.CONNECT, [("cloudevents", "binary")]))
client.loop_start()
for line in sys.stdin:
    given = json.loads(line)
    event = [("specversion", "1.0"), *given["event"].items()]
    made = properties(PacketTypes.PUBLISH, event, ContentType="text/plain")
    client.publish(given["topic"], given["data"], qos=2, properties=made).wait_for_publish()
    say(published=given["topic"])
client.disconnect()
client.loop_stop()
