"""Announces a feed by django-push."""

import sys

from django_push.publisher import ping_hub

feed, hub = sys.argv[1:]
answer = ping_hub(feed, hub_url=hub)
assert answer.status_code == 204, (answer.status_code, answer.text)
