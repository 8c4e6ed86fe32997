// What the phone knows. Events change it, see reduce.ts; views show it.

import type { Abilities, Account, Availability, Contact, HistoryEntry, OwnPresence, SubscriptionRequest } from "../api/types";
import type { Counters, Point } from "./quality";

export type Phase = "calling" | "ringing" | "connecting" | "connected";

export interface CallView {
  account: string;
  peer: string;
  sid: string;
  incoming: boolean;
  video: boolean; // the caller would like it
  phase: Phase;
  since: number; // ms of the clock
  seen: number; // when this page heard of it first
  connectedAt?: number;
  muted: boolean;
  held: boolean;
  peerMuted: boolean;
  peerHeld: boolean;
  codec: string;
  relayed: boolean;
  counters: Counters | undefined; // of the last second
  points: Point[];
  mos: number;
  pressed: string; // the peer's keys
}

export type TransferPhase = "uploading" | "offered" | "connecting" | "running" | "waiting" | "paused" | "pausedByPeer" | "done" | "failed";

export interface TransferView {
  account: string;
  peer: string;
  sid: string;
  incoming: boolean;
  name: string;
  size: number;
  bytes: number;
  rate: number; // bytes a second
  phase: TransferPhase;
  text: string;
  path: string;
  hash: string;
  encryption: string; // "end-to-end", "dtls", "none", or empty
  verified: boolean;
  began: number;
}

export interface State {
  link: "connecting" | "live" | "lost" | "locked";
  lockedText: string;
  version: string;
  features: Set<string>;
  accounts: Account[];
  presences: OwnPresence[];
  contacts: Map<string, Contact>;
  requests: SubscriptionRequest[];
  blocked: Set<string>; // keys of people
  calls: Map<string, CallView>;
  over: Map<string, CallView>; // calls that have ended: a list that was asked for before may still have them
  transfers: Map<string, TransferView>;
  history: HistoryEntry[];
  // The person that is looked at.
  selected: Person | undefined;
}

export interface Person {
  account: string;
  jid: string; // bare, or full for one device
}

export function initial(): State {
  return {
    link: "connecting",
    lockedText: "",
    version: "",
    features: new Set(),
    accounts: [],
    presences: [],
    contacts: new Map(),
    requests: [],
    blocked: new Set(),
    calls: new Map(),
    over: new Map(),
    transfers: new Map(),
    history: [],
    selected: undefined,
  };
}

export function bare(jid: string): string {
  return jid.split("/", 1)[0] ?? "";
}

export function keyOf(account: string, jid: string): string {
  return `${account} ${bare(jid)}`;
}

export function contactOf(s: State, account: string, jid: string): Contact | undefined {
  return s.contacts.get(keyOf(account, jid));
}

// nameOf is what a person is called here: as the contact list has it, or by the address.
export function nameOf(s: State, account: string, jid: string): string {
  const name = contactOf(s, account, jid)?.name;
  if (name) return name;
  const local = bare(jid).split("@", 1)[0];
  return local ? local.charAt(0).toUpperCase() + local.slice(1) : jid;
}

export function isOnline(a: Availability | undefined): boolean {
  return a !== undefined && a !== "AVAILABILITY_OFFLINE" && a !== "AVAILABILITY_UNSPECIFIED";
}

// abilitiesOf is what is known; a person without known abilities may still be called.
export function abilitiesOf(c: Contact | undefined): Abilities | undefined {
  return c?.abilities;
}

// activeCall is the one to show: a conversation before one that is being made, before one that rings elsewhere.
export function activeCall(s: State): CallView | undefined {
  let best: CallView | undefined;
  for (const c of s.calls.values()) {
    if (isRinging(c)) continue;
    if (!best || (best.phase !== "connected" && c.phase === "connected")) best = c;
  }
  return best;
}

// isRinging says that a call comes in and waits for an answer.
export function isRinging(c: CallView): boolean {
  return c.incoming && (c.phase === "calling" || c.phase === "ringing");
}

export function ringingCall(s: State): CallView | undefined {
  for (const c of s.calls.values()) if (isRinging(c)) return c;
  return undefined;
}
