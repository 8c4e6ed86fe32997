"""Two slixmpp clients that trust one authority log in, see each other's presence, and exchange a message and an IQ.

Arguments: HOST:PORT starttls|direct CAFILE JID PASSWORD JID PASSWORD
"""
import asyncio
import ssl
import sys

from slixmpp import ClientXMPP

addr, tls, ca, *accounts = sys.argv[1:]
host, port = addr.rsplit(":", 1)


class Client(ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.ca_certs = ca
        self.started = asyncio.Event()
        self.presences = asyncio.Queue()
        self.chats = asyncio.Queue()
        self.failed = None
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("presence_available", self.presences.put_nowait)
        self.add_event_handler("message", self.chats.put_nowait)
        self.add_event_handler("failed_all_auth", lambda e: self.fail("authentication failed"))

    def fail(self, why):
        self.failed = why
        self.started.set()

    async def on_start(self, _):
        await self.get_roster()
        self.send_presence()
        self.started.set()

    async def login(self):
        # force_starttls is the default; a certificate that ca does not vouch for is an error.
        self.connect((host, int(port)), use_ssl=tls == "direct", force_starttls=tls != "direct", disable_starttls=tls == "direct")
        await asyncio.wait_for(self.started.wait(), 60)
        if self.failed:
            raise SystemExit(self.failed)


async def presence_from(client, who):
    while True:
        p = await asyncio.wait_for(client.presences.get(), 60)
        if p["from"].full == who.full:
            return


async def main():
    a, b = Client(accounts[0], accounts[1]), Client(accounts[2], accounts[3])
    await a.login()
    await b.login()
    await presence_from(a, b.boundjid)
    await presence_from(b, a.boundjid)
    assert a.client_roster[b.boundjid.bare]["subscription"] == "both", a.client_roster

    a.send_message(mto=b.boundjid.full, mbody="hello <&> \u00fc", mtype="chat")
    m = await asyncio.wait_for(b.chats.get(), 60)
    assert m["body"] == "hello <&> \u00fc" and m["from"].full == a.boundjid.full, m

    rtt = await a["xep_0199"].ping(b.boundjid.full, timeout=15)
    assert rtt >= 0
    await a["xep_0199"].ping(a.boundjid.domain, timeout=15)

    info = await a["xep_0030"].get_info(jid=a.boundjid.domain)
    assert "urn:xmpp:carbons:2" in info["disco_info"]["features"], info
    info = await b["xep_0030"].get_info(jid=a.boundjid.full)
    assert "urn:xmpp:ping" in info["disco_info"]["features"], info

    await a.disconnect()
    await b.disconnect()
    print("all checks held")


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 180))
