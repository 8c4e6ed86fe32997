"""Two slixmpp users ask the relay for everything it offers and send a file through its proxy.

Usage: stranger.py PORT DOMAIN COMPONENT BYTES
Prints one JSON object.
"""
import asyncio
import hashlib
import json
import os
import sys
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError

port, domain, relay, size = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


class User(slixmpp.ClientXMPP):
    def __init__(self, name):
        super().__init__(f"{name}@{domain}/slix", "pw")
        self["feature_mechanisms"].unencrypted_plain = True
        self["feature_mechanisms"].unencrypted_scram = True
        for p in ("xep_0030", "xep_0004", "xep_0066", "xep_0199"):
            self.register_plugin(p)
        self.register_plugin("xep_0065", {"auto_accept": True})
        self.add_event_handler("session_start", self.began)
        self.add_event_handler("socks5_data", self.data)
        self.ready = self.loop.create_future()
        self.received = bytearray()
        self.connect(("127.0.0.1", port), use_ssl=False, force_starttls=False, disable_starttls=True)

    async def began(self, _):
        self.send_presence()
        self.ready.set_result(None)

    def data(self, d):
        self.received += d

    async def ask(self, child, to=relay, kind="get"):
        iq = self.Iq()
        iq["to"], iq["type"] = to, kind
        iq.append(ET.fromstring(child))
        try:
            return str(await iq.send(timeout=10))
        except IqError as e:
            return str(e.iq)


async def main():
    alice, bob = User("alice"), User("bob")
    await asyncio.wait_for(asyncio.gather(alice.ready, bob.ready), 60)
    out = {
        "info": await alice.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        "services": await alice.ask("<services xmlns='urn:xmpp:extdisco:2'/>"),
        "nodes": await alice.ask("<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' protocol='udp'/>"),
        "server_services": await alice.ask("<services xmlns='urn:xmpp:extdisco:2'/>", to=domain),
    }
    await alice["xep_0065"].discover_proxies(timeout=10)
    out["proxies"] = sorted(str(j) for j in alice["xep_0065"]._proxies)
    # What a stranger may try to break the component: elements with odd names, deep and wide ones. The server may
    # refuse them itself.
    deep = "<x xmlns='u'>" + "<a>" * 2000 + "</a>" * 2000 + "</x>"
    for odd in (deep, "<x xmlns='u'>" + "<a/>" * 5000 + "</x>"):
        alice.send_raw(f"<iq type='set' id='odd' to='{relay}'>{odd}</iq>")
    for name in ("a:b:c:d", "a:b:c"):
        bob.send_raw(f"<message to='{relay}'><x xmlns='u' xmlns:a='v'><{name}/></x></message>")
    await asyncio.sleep(0.3)
    carol = User("carol")
    dave = User("dave")
    await asyncio.wait_for(asyncio.gather(carol.ready, dave.ready), 60)
    out["after"] = await carol.ask("<ping xmlns='urn:xmpp:ping'/>")

    body = os.urandom(size)
    stream = await carol["xep_0065"].handshake(dave.boundjid.full, timeout=20)
    transport = stream.transport
    transport.write(body)
    transport.write_eof()
    for _ in range(2000):
        if len(dave.received) >= size:
            break
        await asyncio.sleep(0.01)
    out["sent"] = hashlib.sha256(body).hexdigest()
    out["received"] = hashlib.sha256(bytes(dave.received)).hexdigest()
    print(json.dumps(out))
    sys.stdout.flush()
    os._exit(0)


asyncio.get_event_loop().run_until_complete(main())
