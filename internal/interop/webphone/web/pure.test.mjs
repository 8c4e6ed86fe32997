// What in the page neither asks nor shows: events to state, counters to figures, numbers to words.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const load = createRequire(join(process.env.PAGE, "x.js"));
const { reduce, setCalls, setTransfers, seconds, reasonText } = load("./state/reduce");
const { initial, activeCall, ringingCall, nameOf, bare } = load("./state/state");
const { count, point, push, maxPoints, grade } = load("./state/quality");
const format = load("./view/format");
const { parse } = load("./api/frame");
const { pathOf } = load("./view/chart");
const { initials } = load("./view/avatar");

const account = "alice@example.org";
const event = (sid, body) => ({ account, peer: "bob@example.org/phone", sid, time: "2026-01-01T00:00:00Z", ...body });

test("an incoming call, from its first sign to its end", () => {
  const s = initial();
  reduce(s, event("c1", { callIncoming: { audio: true, video: true } }));
  assert.equal(ringingCall(s)?.sid, "c1");
  assert.equal(ringingCall(s).video, true);
  assert.equal(activeCall(s), undefined);
  reduce(s, event("c1", { callAccepted: {} }));
  assert.equal(ringingCall(s), undefined);
  assert.equal(activeCall(s).phase, "connecting");
  reduce(s, event("c1", { callConnected: { codec: "opus" } }));
  reduce(s, event("c1", { callAccepted: {} })); // late
  assert.equal(activeCall(s).phase, "connected");
  reduce(s, event("c1", { callPeerState: { muted: true } }));
  assert.deepEqual([activeCall(s).peerMuted, activeCall(s).peerHeld], [true, false]);
  for (const digit of "12#") reduce(s, event("c1", { callDtmf: { digit } }));
  assert.equal(activeCall(s).pressed, "12#");
  reduce(s, event("c1", { callEnded: { reason: "success" } }));
  assert.equal(s.calls.size, 0);
  reduce(s, event("c1", { callMeter: { stats: {} } })); // of a call that is gone
  assert.equal(s.calls.size, 0);
});

test("a conversation is shown before a call that is being made", () => {
  const s = initial();
  setCalls(s, [{ sid: "a", state: "CALL_STATE_CALLING" }, { sid: "b", state: "CALL_STATE_CONNECTED", muted: true }, { sid: "c", incoming: true }], 0);
  assert.equal(activeCall(s).sid, "b");
  assert.equal(activeCall(s).muted, true);
  assert.equal(ringingCall(s).sid, "c");
  setCalls(s, [], Infinity);
  assert.equal(activeCall(s), undefined);
});

test("a list that was asked for before an event does not undo it", () => {
  const s = initial();
  const before = Date.now();
  reduce(s, event("new", { callIncoming: {} }));
  setCalls(s, [], before);
  assert.equal(ringingCall(s).sid, "new");
  reduce(s, event("new", { callConnected: {} }));
  setCalls(s, [{ sid: "new", incoming: true, state: "CALL_STATE_RINGING" }], before);
  assert.equal(s.calls.get("new").phase, "connected");
  reduce(s, event("new", { callEnded: {} }));
  setCalls(s, [{ sid: "new", incoming: true, state: "CALL_STATE_CONNECTED" }], before);
  assert.equal(s.calls.size, 0);
  reduce(s, event("t", { transferStarted: {} }));
  setTransfers(s, [], before);
  assert.equal(s.transfers.get("t").phase, "running");
  reduce(s, event("t", { transferDone: {} }));
  setTransfers(s, [{ sid: "t", state: "TRANSFER_STATE_RUNNING" }], before);
  assert.equal(s.transfers.get("t").phase, "done");
});

test("figures come of counters", () => {
  const at = (n, received, lost, bytes) => count({ packetsReceived: String(received), packetsLost: String(lost), bytesReceived: String(bytes), video: { packetsReceived: "0" } }, n);
  const p = point(at(0, 100, 0, 1000), at(2000, 190, 10, 26_000), 40);
  assert.deepEqual(p, { loss: 10, roundTrip: 40, rate: 100_000 });
  assert.equal(point(at(0, 100, 0, 1000), at(1000, 50, 0, 10), 0).rate, 0); // they began anew
  let points = [];
  for (let n = 0; n < maxPoints + 5; n++) points = push(points, p);
  assert.equal(points.length, maxPoints);
  assert.deepEqual([4.3, 3.7, 3.2, 1.5, 0].map(grade), ["Excellent", "Good", "Fair", "Poor", ""]);
});

test("the chart's newest value is at its right edge", () => {
  assert.equal(pathOf([1], 5), "");
  assert.match(pathOf([0, 5, 10], 5), /^M\S+ 46.0 L\S+ 4.0 L240.0 4.0$/);
});

test("a transfer that is interrupted and goes on", () => {
  const s = initial();
  reduce(s, event("t", { transferOffered: { name: "a.bin", size: "1000", encrypted: true } }));
  const t = () => s.transfers.get("t");
  assert.deepEqual([t().phase, t().incoming, t().size, t().encryption], ["offered", true, 1000, "end-to-end"]);
  reduce(s, event("t", { transferStarted: { encryption: "end-to-end" } }));
  reduce(s, event("t", { transferProgress: { bytes: "400", size: "1000", bytesPerSecond: 100 } }));
  assert.deepEqual([t().phase, t().bytes, t().rate], ["running", 400, 100]);
  for (const [state, phase] of [["WAITING", "waiting"], ["PAUSED", "paused"], ["PAUSED_BY_PEER", "pausedByPeer"]]) {
    reduce(s, event("t", { transferInterrupted: { bytes: "400", state: `TRANSFER_STATE_${state}` } }));
    assert.deepEqual([t().phase, t().rate], [phase, 0]);
  }
  reduce(s, event("t", { transferStarted: {} }));
  reduce(s, event("t", { transferDone: { bytes: "1000", verified: true, path: "/d/a.bin", hash: { "sha-256": "ab" } } }));
  assert.deepEqual([t().phase, t().path, t().hash, t().verified], ["done", "/d/a.bin", "sha-256:ab", true]);
  setTransfers(s, [], Infinity); // the daemon lists it no longer, the page still does
  assert.equal(t().phase, "done");
});

test("a transfer that another program has begun", () => {
  const s = initial();
  reduce(s, event("t", { transferStarted: {} }));
  setTransfers(s, [{ sid: "t", account, name: "b.bin", size: "5", state: "TRANSFER_STATE_RUNNING" }, { sid: "u", state: "TRANSFER_STATE_RUNNING" }], 0);
  assert.equal(s.transfers.get("t").name, "b.bin");
  setTransfers(s, [], Infinity);
  assert.equal(s.transfers.size, 0);
  reduce(s, event("v", { transferFailed: { reason: "decline", byPeer: true } }));
  assert.equal(s.transfers.get("v").text, "They declined.");
});

test("contacts, requests and accounts", () => {
  const s = initial();
  reduce(s, event("", { contactChanged: { jid: "bob@example.org", name: "Bob" } }));
  assert.equal(nameOf(s, account, "bob@example.org/phone"), "Bob");
  reduce(s, { account, peer: "bob@example.org", contactRemoved: {} });
  assert.equal(nameOf(s, account, "bob@example.org"), "Bob"); // of the address
  assert.equal(nameOf(s, account, "example.org"), "Example.org");
  for (let n = 0; n < 2; n++) reduce(s, { account, peer: "eve@example.org", subscriptionRequested: { text: "hello" } });
  assert.deepEqual(s.requests.map((r) => [r.jid, r.text]), [["eve@example.org", "hello"]]);
  reduce(s, { account, peer: "eve@example.org", subscriptionAnswered: {} });
  assert.equal(s.requests.length, 0);
  for (const state of ["ACCOUNT_STATE_CONNECTING", "ACCOUNT_STATE_ONLINE"]) reduce(s, { accountChanged: { jid: account, state } });
  assert.deepEqual(s.accounts, [{ jid: account, state: "ACCOUNT_STATE_ONLINE" }]);
  assert.equal(bare("a@b/c/d"), "a@b");
});

test("words", () => {
  assert.deepEqual([0, 59.9, 61, 3725].map(format.clock), ["00:00", "00:59", "01:01", "1:02:05"]);
  assert.deepEqual([0, 999, 1000, 3_000_000, 123_400_000].map(format.size), ["0 B", "999 B", "1.0 kB", "3.0 MB", "123 MB"]);
  assert.deepEqual([0.2, 42, 600, 5400].map(format.duration), ["", "42 s", "10 min", "1 h 30 min"]);
  assert.deepEqual([24_000, 1_500_000].map(format.rate), ["24 kbit/s", "1.5 Mbit/s"]);
  assert.deepEqual([0.2, 90, 7200, Infinity].map(format.remaining), ["1 s left", "2 min left", "2.0 h left", ""]);
  assert.equal(format.when("not a time"), "");
  assert.match(format.when(new Date().toISOString()), /^\d/);
  assert.match(format.when(new Date(Date.now() - 86_400_000).toISOString()), /^Yesterday/);
  assert.equal(seconds("12.5s"), 12.5);
  assert.equal(seconds(undefined), 0);
  assert.equal(reasonText("something-new", false), "something-new");
  assert.deepEqual(["Bob Miller", "carol", "dave.van.okafor", "", "李 明"].map(initials), ["BM", "C", "DO", "?", "李明"]);
});

test("frames of the stream of events", () => {
  assert.equal(parse(":"), undefined);
  assert.deepEqual(parse('event: hello\nid: 1\ndata: {"seq":"1","hello":{}}'), { seq: "1", hello: {} });
});
