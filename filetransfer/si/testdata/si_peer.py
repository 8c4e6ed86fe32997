"""A slixmpp client that takes or sends one file by stream initiation (XEP-0095, XEP-0096).

Arguments: HOST:PORT CAFILE JID PASSWORD take|send PEER METHOD FILE
METHOD is s5b or ibb and matters for send. Prints "ready" when online, and "done BYTES SHA256" at the end.

Worked around in slixmpp 1.8.3: the handler of offers is a coroutine that nobody awaits, and its own offer has a form
without options.
"""
import asyncio
import hashlib
import sys
import xml.etree.ElementTree as ET

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import CoroutineCallback
from slixmpp.xmlstream.matcher import StanzaPath

addr, ca, jid, password, mode, peer, method, path = sys.argv[1:]
host, port = addr.rsplit(":", 1)
S5B, IBB = "http://jabber.org/protocol/bytestreams", "http://jabber.org/protocol/ibb"


class Client(ClientXMPP):
    def __init__(self):
        super().__init__(jid, password)
        self.ca_certs = ca
        for p in ("xep_0030", "xep_0199", "xep_0020", "xep_0047", "xep_0065", "xep_0095", "xep_0096"):
            self.register_plugin(p, {"auto_accept": True} if p in ("xep_0047", "xep_0065") else {})
        self.remove_handler("SI Request")
        self.register_handler(CoroutineCallback("SI Request", StanzaPath("iq@type=set/si"), self["xep_0095"]._handle_request))
        self.started, self.ended = asyncio.Event(), asyncio.Event()
        self.data = bytearray()
        self.wanted = None
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("si_request", self.on_offer)
        self.add_event_handler("socks5_data", self.on_data)
        self.add_event_handler("ibb_stream_data", lambda s: self.on_data(s.read()))

    async def on_start(self, _):
        self.send_presence()
        self.started.set()

    async def on_offer(self, iq):
        self.wanted = int(iq["si"]["file"]["size"])
        await self["xep_0095"].accept(iq["from"], iq["si"]["id"], ifrom=iq["to"])

    def on_data(self, data):
        self.data += data
        if len(self.data) >= self.wanted:
            self.ended.set()


async def send(client, data):
    sid = "slix-1"
    iq = client.Iq()
    iq["to"], iq["type"] = peer, "set"
    iq.append(ET.fromstring(
        f"<si xmlns='http://jabber.org/protocol/si' id='{sid}' profile='http://jabber.org/protocol/si/profile/file-transfer'>"
        f"<file xmlns='http://jabber.org/protocol/si/profile/file-transfer' name='from-slixmpp.bin' size='{len(data)}'"
        f" hash='{hashlib.md5(data).hexdigest()}'><range/></file>"
        "<feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='form'>"
        f"<field var='stream-method' type='list-single'><option><value>{S5B if method == 's5b' else IBB}</value></option></field>"
        "</x></feature></si>"))
    await iq.send(timeout=20)
    if method == "s5b":
        sock = await client["xep_0065"].handshake(peer, sid=sid, timeout=20)
        await sock.write(data)
        sock.transport.close()
    else:
        stream = await client["xep_0047"].open_stream(peer, sid=sid, block_size=4096, timeout=20)
        await stream.sendall(data, timeout=20)
        await stream.close(timeout=20)
    client.data = data


async def main():
    client = Client()
    client.connect((host, int(port)), force_starttls=True)
    await asyncio.wait_for(client.started.wait(), 60)
    print("ready", flush=True)
    if mode == "send":
        await asyncio.wait_for(send(client, open(path, "rb").read()), 60)
    else:
        await asyncio.wait_for(client.ended.wait(), 60)
    print("done", len(client.data), hashlib.sha256(client.data).hexdigest(), flush=True)
    await asyncio.sleep(1)  # so that answers leave
    client.disconnect()
    await asyncio.wait_for(client.disconnected, 10)

asyncio.get_event_loop().run_until_complete(main())
