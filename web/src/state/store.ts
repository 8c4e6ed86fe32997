// The one state of the page, kept true by the daemon's events.

import * as api from "../api/phone";
import { watch } from "../api/events";
import type { Event } from "../api/types";
import { reduce, setCalls, setTransfers } from "./reduce";
import { Signal } from "./signal";
import { initial, keyOf } from "./state";

export const state = new Signal(initial());

type Listener = (e: Event) => void;
const listeners = new Set<Listener>();

// onEvent calls back with each event after it is in the state.
export function onEvent(l: Listener): void {
  listeners.add(l);
}

export function start(): void {
  void watch({
    event(e) {
      if (e.hello) void loadAll();
      if (e.contactsReset) void loadContacts();
      if (e.blockListChanged) void loadBlocked();
      if (e.transferStarted) void loadTransfers();
      if ((e.callRinging || e.callAccepted) && !state.value.calls.has(e.sid ?? "")) void loadCalls();
      reduce(state.value, e);
      for (const l of listeners) l(e);
      if (e.callEnded || e.transferDone || e.transferFailed) void loadHistory();
      state.touch();
    },
    lost: () => setLink("lost"),
    locked: () => lock("This browser is not signed in to the daemon any more."),
  });
}

export function lock(text: string): void {
  state.value.lockedText = text;
  setLink("locked");
}

function setLink(link: "live" | "lost" | "locked"): void {
  state.value.link = link;
  state.touch();
}

async function loadAll(): Promise<void> {
  const s = state.value;
  const asked = Date.now();
  try {
    const [info, accounts, calls, transfers] = await Promise.all([api.info(), api.accounts(), api.calls(), api.transfers()]);
    s.version = info.version ?? "";
    s.features = new Set(info.features ?? []);
    s.accounts = accounts;
    setCalls(s, calls, asked);
    setTransfers(s, transfers, asked);
    setLink("live");
  } catch {
    setLink("lost");
    return;
  }
  await Promise.all([loadContacts(), loadBlocked(), loadHistory()]);
}

// loadCalls and loadTransfers fill in what another program has begun.
async function loadCalls(): Promise<void> {
  const asked = Date.now();
  await api.calls().then((list) => setCalls(state.value, list, asked)).catch(() => undefined);
  state.touch();
}

async function loadTransfers(): Promise<void> {
  const asked = Date.now();
  await api.transfers().then((list) => setTransfers(state.value, list, asked)).catch(() => undefined);
  state.touch();
}

export async function loadContacts(): Promise<void> {
  const s = state.value;
  try {
    const lists = await api.contacts();
    s.contacts = new Map((lists.contacts ?? []).map((c) => [keyOf(c.account ?? "", c.jid), c]));
    s.requests = lists.requests ?? [];
    s.presences = lists.presences ?? [];
  } catch {
    s.contacts = new Map(); // a daemon without contacts
  }
  state.touch();
}

async function loadBlocked(): Promise<void> {
  const lists = await api.blocked().catch(() => []);
  state.value.blocked = new Set(lists.flatMap((l) => (l.jids ?? []).map((jid) => keyOf(l.account ?? "", jid))));
  state.touch();
}

export async function loadHistory(): Promise<void> {
  try {
    state.value.history = await api.history();
  } catch {
    state.value.history = []; // a daemon that keeps none
  }
  state.touch();
}
