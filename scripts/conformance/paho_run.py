"""Runs one of paho's interoperability suites: `paho_run.py <folder> <module> <port>`. One line for each test."""

import importlib
import logging
import sys
import unittest

folder, name, port = sys.argv[1:]
sys.path.insert(0, folder)
suite = importlib.import_module(name)
# What the suites set where they are the main program.
suite.host, suite.port = "127.0.0.1", int(port)
suite.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
suite.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
suite.nosubscribe_topics = ("test/nosubscribe",)
suite.topic_prefix = "client_test5/"
logging.getLogger().setLevel(logging.CRITICAL)
logging.getLogger("mqtt-client").setLevel(logging.CRITICAL)


class Lines(unittest.TestResult):
    def say(self, word, test, error=None):
        why = "" if error is None else " " + str(error[1]).split("\n", maxsplit=1)[0]
        print(f"{word} {test.id().rsplit('.', maxsplit=1)[-1]}{why}", flush=True)

    def addSuccess(self, test):
        self.say("passed", test)

    def addFailure(self, test, err):
        self.say("failed", test, err)

    def addError(self, test, err):
        self.say("failed", test, err)

    def addSkip(self, test, reason):
        self.say("skipped", test)


sys.argv = [name]
unittest.defaultTestLoader.loadTestsFromModule(suite).run(Lines())
