// Events change the state. Nothing here asks, waits or shows anything.

import type { Account, Call, CallState, Event, Transfer } from "../api/types";
import { count, point, push } from "./quality";
import { bare, keyOf, type CallView, type Phase, type State, type TransferView } from "./state";

const phases: Record<CallState, Phase> = {
  CALL_STATE_CALLING: "calling",
  CALL_STATE_RINGING: "ringing",
  CALL_STATE_CONNECTING: "connecting",
  CALL_STATE_CONNECTED: "connected",
};

// seconds reads a duration of protobuf's JSON, such as "12.5s".
export function seconds(duration: string | undefined): number {
  return Number.parseFloat(duration ?? "0") || 0;
}

export function newCall(sid: string, from: Partial<CallView>): CallView {
  return {
    account: "", peer: "", sid, incoming: false, video: false, phase: "calling", since: Date.now(), seen: Date.now(), muted: false,
    held: false, peerMuted: false, peerHeld: false, codec: "", relayed: false, counters: undefined, points: [], mos: 0,
    pressed: "", ...from,
  };
}

const order: Phase[] = ["calling", "ringing", "connecting", "connected"];

function callFrom(c: Call, known: CallView | undefined): CallView {
  const listed = phases[c.state ?? "CALL_STATE_CALLING"] ?? "calling";
  const phase = known && order.indexOf(known.phase) > order.indexOf(listed) ? known.phase : listed;
  const since = Date.parse(c.since ?? "") || Date.now();
  return newCall(c.sid, {
    ...known,
    account: c.account ?? "", peer: c.peer ?? "", incoming: c.incoming ?? false, phase, since,
    muted: c.muted ?? known?.muted ?? false, held: c.held ?? known?.held ?? false,
    peerMuted: c.peerMuted ?? false, peerHeld: c.peerHeld ?? false,
    ...(phase === "connected" ? { connectedAt: known?.connectedAt ?? since } : {}),
  });
}

// setCalls takes the list of calls that the daemon had at some time after asked. Events may have told more meanwhile.
export function setCalls(s: State, list: Call[], asked: number): void {
  const calls = new Map<string, CallView>();
  for (const c of list) if (!s.over.has(c.sid)) calls.set(c.sid, callFrom(c, s.calls.get(c.sid)));
  for (const [sid, c] of s.calls) if (!calls.has(sid) && c.seen >= asked) calls.set(sid, c);
  s.calls = calls;
}

export function newTransfer(sid: string, from: Partial<TransferView>): TransferView {
  return {
    account: "", peer: "", sid, incoming: false, name: "", size: 0, bytes: 0, rate: 0, phase: "offered", text: "",
    path: "", hash: "", encryption: "", verified: false, began: Date.now(), ...from,
  };
}

const transferPhases: Record<string, TransferView["phase"]> = {
  TRANSFER_STATE_OFFERED: "offered",
  TRANSFER_STATE_CONNECTING: "connecting",
  TRANSFER_STATE_RUNNING: "running",
  TRANSFER_STATE_WAITING: "waiting",
  TRANSFER_STATE_PAUSED: "paused",
  TRANSFER_STATE_PAUSED_BY_PEER: "pausedByPeer",
};

const isOver = (t: TransferView | undefined) => t?.phase === "done" || t?.phase === "failed";

// setTransfers takes the list of transfers that had not ended at some time after asked; those that have stay as they are.
export function setTransfers(s: State, list: Transfer[], asked: number): void {
  const there = new Set(list.map((t) => t.sid));
  for (const [sid, t] of s.transfers) {
    if (!isOver(t) && t.phase !== "uploading" && !there.has(sid) && t.began < asked) s.transfers.delete(sid);
  }
  for (const t of list) {
    if (isOver(s.transfers.get(t.sid))) continue;
    s.transfers.set(t.sid, newTransfer(t.sid, {
      ...s.transfers.get(t.sid),
      account: t.account ?? "", peer: t.peer ?? "", incoming: t.incoming ?? false, name: t.name ?? "",
      size: Number(t.size ?? 0), bytes: Number(t.bytes ?? 0), phase: transferPhases[t.state ?? ""] ?? "offered",
      encryption: t.encryption ?? "",
    }));
  }
}

function setAccount(s: State, a: Account): void {
  const at = s.accounts.findIndex((x) => x.jid === a.jid);
  s.accounts = at < 0 ? [...s.accounts, a] : s.accounts.with(at, a);
}

// reduce applies an event.
export function reduce(s: State, e: Event): void {
  if (e.accountChanged) return setAccount(s, e.accountChanged);
  if (e.contactChanged) {
    const c = e.contactChanged;
    s.contacts.set(keyOf(c.account ?? e.account ?? "", c.jid), { ...c, account: c.account ?? e.account ?? "" });
    return;
  }
  if (e.contactRemoved) {
    s.contacts.delete(keyOf(e.account ?? "", e.peer ?? ""));
    return;
  }
  if (e.subscriptionRequested) {
    const r = { account: e.account ?? "", jid: bare(e.peer ?? ""), ...e.subscriptionRequested };
    s.requests = [...s.requests.filter((x) => x.jid !== r.jid || x.account !== r.account), r];
    return;
  }
  if (e.subscriptionAnswered) {
    s.requests = s.requests.filter((x) => x.jid !== bare(e.peer ?? "") || x.account !== e.account);
    return;
  }
  reduceCall(s, e);
  reduceTransfer(s, e);
}

function reduceCall(s: State, e: Event): void {
  const sid = e.sid ?? "";
  if (e.callIncoming) {
    s.calls.set(sid, newCall(sid, {
      account: e.account ?? "", peer: e.peer ?? "", incoming: true, video: e.callIncoming.video ?? false,
    }));
    return;
  }
  const c = s.calls.get(sid);
  if (!c) return;
  if (e.peer) c.peer = e.peer;
  if (e.callRinging && c.phase === "calling") c.phase = "ringing";
  else if (e.callAccepted && c.phase !== "connected") c.phase = "connecting";
  else if (e.callConnected) {
    c.phase = "connected";
    c.connectedAt ??= Date.now();
    c.codec = e.callConnected.codec ?? "";
  } else if (e.callPeerState) {
    c.peerMuted = e.callPeerState.muted ?? false;
    c.peerHeld = e.callPeerState.held ?? false;
  } else if (e.callDtmf) c.pressed = (c.pressed + (e.callDtmf.digit ?? "")).slice(-16);
  else if (e.callMeter) {
    const stats = e.callMeter.stats ?? {};
    const now = count(stats, Date.parse(e.time ?? "") || Date.now());
    if (c.counters) c.points = push(c.points, point(c.counters, now, stats.roundTripMs ?? 0));
    c.counters = now;
    c.codec = e.callMeter.codec || c.codec;
    c.mos = stats.mos ?? 0;
    c.relayed = e.callMeter.relayed ?? false;
    c.connectedAt = Date.now() - 1000 * seconds(e.callMeter.duration);
  } else if (e.callEnded) {
    s.calls.delete(sid);
    s.over.set(sid, c);
  }
}

function reduceTransfer(s: State, e: Event): void {
  const sid = e.sid ?? "";
  if (e.transferOffered) {
    s.transfers.set(sid, newTransfer(sid, {
      ...s.transfers.get(sid),
      account: e.account ?? "", peer: e.peer ?? "", incoming: true, name: e.transferOffered.name ?? "",
      size: Number(e.transferOffered.size ?? 0), phase: "offered",
      encryption: e.transferOffered.encrypted ? "end-to-end" : "",
    }));
    return;
  }
  if (!e.transferStarted && !e.transferProgress && !e.transferInterrupted && !e.transferDone && !e.transferFailed) return;
  let t = s.transfers.get(sid);
  if (!t) {
    // One that another program has begun, or whose upload is about to tell its name.
    t = newTransfer(sid, { account: e.account ?? "", peer: e.peer ?? "" });
    s.transfers.set(sid, t);
  }
  if (e.peer) t.peer = e.peer;
  if (e.transferStarted) {
    t.phase = "running";
    t.encryption = e.transferStarted.encryption ?? "";
  }
  else if (e.transferProgress) {
    t.bytes = Number(e.transferProgress.bytes ?? 0);
    t.size = Number(e.transferProgress.size ?? t.size);
    t.rate = e.transferProgress.bytesPerSecond ?? 0;
    t.phase = "running";
  } else if (e.transferInterrupted) {
    t.phase = transferPhases[e.transferInterrupted.state ?? ""] ?? "waiting";
    t.bytes = Number(e.transferInterrupted.bytes ?? t.bytes);
    t.rate = 0;
  }
  else if (e.transferDone) {
    t.phase = "done";
    t.bytes = Number(e.transferDone.bytes ?? t.size);
    t.verified = e.transferDone.verified ?? false;
    t.hash = Object.entries(e.transferDone.hash ?? {}).map(([algo, hex]) => `${algo}:${hex}`)[0] ?? "";
    t.path = t.incoming ? (e.transferDone.path ?? "") : "";
  } else if (e.transferFailed) {
    t.phase = "failed";
    t.text = e.transferFailed.text || reasonText(e.transferFailed.reason ?? "", e.transferFailed.byPeer ?? false);
  }
}

const reasons: Record<string, string> = {
  busy: "Busy.", decline: "Declined.", cancel: "Cancelled.", timeout: "Nobody answered.", gone: "Not reachable.",
  "connectivity-error": "No connection could be made.", "failed-application": "Something went wrong.",
  "failed-transport": "The connection was lost.", "unsupported-applications": "Their client cannot do this.",
  "media-error": "Too large.", expired: "Too late.", success: "Ended.",
};

// reasonText puts a condition of XEP-0166 section 7.4 into a sentence.
export function reasonText(reason: string, byPeer: boolean): string {
  if (reason === "cancel") return byPeer ? "They cancelled." : "Cancelled.";
  if (reason === "decline") return byPeer ? "They declined." : "Declined.";
  return reasons[reason] ?? reason;
}
