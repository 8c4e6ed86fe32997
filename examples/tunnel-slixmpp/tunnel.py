#!/usr/bin/env python3
"""A slixmpp client that keeps its own XMPP stream and lets jingled do calls and files by a stanza tunnel.

It needs Debian's python3-slixmpp and nothing else: the API is JSON over HTTP on jingled's Unix socket.

    tunnel.py JID FOLDER [HOST:PORT CAFILE]

The password is read from standard input. Calls of contacts are answered with a tone, files of contacts are taken into
FOLDER. jingled is started by this program (JINGLED names it) unless JINGLED_SOCKET says that one runs.
"""
import asyncio
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading

import slixmpp


class API(http.client.HTTPConnection):
    """One connection to jingled. JSON in, JSON out."""

    def __init__(self, path, token):
        super().__init__("jingled")
        self.path, self.token = path, token

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def post(self, method, body, kind):
        head = {"Content-Type": kind, "Authorization": "Bearer " + self.token}
        self.request("POST", "/jingled.v1." + method, body, head)

    def ask(self, method, **message):
        self.post(method, json.dumps(message), "application/json")
        response = self.getresponse()
        answer = json.load(response)
        if response.status != 200:
            raise RuntimeError(f"{method}: {answer.get('message', answer)}")
        return answer

    def stream(self, method, **message):
        """The messages of a server stream, each in an envelope of a flag, a length and the JSON."""
        body = json.dumps(message).encode()
        self.post(method, struct.pack(">BI", 0, len(body)) + body, "application/connect+json")
        response = self.getresponse()
        while True:
            flags, size = struct.unpack(">BI", response.read(5))
            answer = json.loads(response.read(size))
            if flags & 2:  # the end
                raise RuntimeError(f"{method} has ended: {answer.get('error', {}).get('message', 'jingled is gone')}")
            yield answer


class Phone(slixmpp.ClientXMPP):
    def __init__(self, jid, password, jingled, folder):
        super().__init__(jid, password)
        self.jingled, self.folder = jingled, folder
        self.register_plugin("xep_0030")  # service discovery
        self.register_plugin("xep_0115")  # entity capabilities
        self.asked = set()  # the ids of the daemon's requests
        self.requests = set()  # the namespaces of what the daemon answers
        self.inbox = asyncio.Queue()
        self.add_filter("in", self.hand_over)
        self.add_event_handler("session_start", self.start)

    async def start(self, _):
        messages = asyncio.Queue()
        self.pump(messages, "TunnelService/OpenTunnel", jid=self.boundjid.full)
        ready = (await messages.get())["ready"]
        self.requests = set(ready["requests"])
        for feature in ready["features"]:
            self["xep_0030"].add_feature(feature)
        await self["xep_0115"].update_caps(broadcast=False)
        loops = [self.push(ready["tunnel"]), self.send_stanzas(messages), self.answer()]
        self.loops = [asyncio.create_task(loop) for loop in loops]
        await self.get_roster()
        self.send_presence()
        print("ready", flush=True)

    def pump(self, queue, method, **message):
        """Reads a stream on a thread of its own. When jingled is gone, so are we."""
        loop = asyncio.get_running_loop()

        def read():
            try:
                for m in API(*self.jingled).stream(method, **message):
                    loop.call_soon_threadsafe(queue.put_nowait, m)
            except Exception as e:
                print(e, file=sys.stderr)
                os._exit(1)

        threading.Thread(target=read, daemon=True).start()

    def hand_over(self, stanza):
        """Decides which stanzas are the daemon's; what is not returned, slixmpp does not see."""
        kind, child = stanza.name, next(iter(stanza.xml), None)
        ours = False
        if kind == "iq":
            if stanza["type"] in ("get", "set"):
                ours = child is not None and child.tag[1:].split("}")[0] in self.requests
            elif stanza["id"] in self.asked:
                self.asked.discard(stanza["id"])
                ours = True
        if ours or kind in ("message", "presence"):  # of these the daemon only looks at what concerns it
            self.inbox.put_nowait(str(stanza))
        return None if ours else stanza

    async def push(self, tunnel):
        api = API(*self.jingled)
        while True:
            stanzas = [await self.inbox.get()]
            while not self.inbox.empty():
                stanzas.append(self.inbox.get_nowait())
            await asyncio.to_thread(api.ask, "TunnelService/PushStanzas", tunnel=tunnel, stanzas=stanzas)

    async def send_stanzas(self, messages):
        while True:
            text = (await messages.get())["stanza"]
            xml = slixmpp.xmlstream.ET.fromstring(text)
            if xml.tag == "{jabber:client}iq" and xml.get("type") in ("get", "set"):
                self.asked.add(xml.get("id"))
            elif xml.tag == "{jabber:client}presence" and not xml.get("type"):
                self.send_presence(pto=xml.get("to"))  # with our capabilities
                continue
            self.send_raw(text)

    async def answer(self):
        api, events = API(*self.jingled), asyncio.Queue()
        self.pump(events, "EventService/Watch")
        while True:
            e = (await events.get())["event"]
            about = {"account": e.get("account"), "sid": e.get("sid")}
            if "callIncoming" in e:
                await asyncio.to_thread(api.ask, "CallService/AnswerCall", **about, media={"audioIn": "tone:440"})
            elif "transferOffered" in e:
                await asyncio.to_thread(api.ask, "TransferService/AcceptFile", **about, dir=self.folder)
            elif not {"hello", "callMeter", "transferProgress"} & e.keys():
                print(json.dumps(e), flush=True)


def main():
    jid, folder, *server = sys.argv[1:]
    jingled = os.environ.get("JINGLED_SOCKET"), os.environ.get("JINGLED_TOKEN", "")
    if not jingled[0]:
        command = [os.environ.get("JINGLED", "jingled"), "--parent-stdin"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        hello = json.loads(child.stdout.readline())
        jingled = hello["socket"], hello["token"]
    phone = Phone(jid, sys.stdin.readline().rstrip("\n"), jingled, os.path.abspath(folder))
    if server:
        host, port = server[0].rsplit(":", 1)
        phone.ca_certs = server[1]
        phone.connect((host, int(port)))
    else:
        phone.connect()
    phone.process(forever=True)


main()
