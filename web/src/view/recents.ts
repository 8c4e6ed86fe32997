// The calls of the past.

import type { PastCall } from "../api/types";
import { call } from "../call/actions";
import { reasonText, seconds } from "../state/reduce";
import { bare, nameOf, type State } from "../state/state";
import { state } from "../state/store";
import { avatar } from "./avatar";
import { iconButton } from "./button";
import { h, list, set, show, text, type Row } from "./dom";
import { duration, when } from "./format";
import { icon, type Icon } from "./icons";
import { open } from "./route";

export function recents(): HTMLElement {
  const rows = h("ul", { class: "rows" });
  const none = h("div", { class: "nobody" }, h("p", {}, "No calls yet. They are listed here when the daemon keeps a history."));
  const fill = list(rows, keyOfCall, callRow);
  state.watch((s) => {
    const calls = pastCalls(s);
    fill(calls);
    show(none, calls.length === 0);
  });
  return h("section", { class: "pane", "aria-label": "Recent calls" },
    h("header", { class: "head" }, h("h1", {}, "Recents")), h("div", { class: "scroll" }, rows, none));
}

export function pastCalls(s: State): PastCall[] {
  return s.history.flatMap((e) => (e.call ? [e.call] : []));
}

export function keyOfCall(c: PastCall): string {
  return `${c.sid} ${c.ended}`;
}

export function isMissed(c: PastCall): boolean {
  return Boolean(c.incoming) && !c.connected && c.reason !== "decline";
}

// how tells what became of a call, and with which picture.
export function how(c: PastCall): { icon: Icon; words: string } {
  const kind = c.video ? "video call" : "call";
  if (isMissed(c)) return { icon: "missed", words: `Missed ${kind}` };
  const way = c.incoming ? "incoming" : "outgoing";
  if (c.connected) return { icon: way, words: [c.incoming ? "Incoming" : "Outgoing", duration(seconds(c.conversation))].filter(Boolean).join(", ") };
  return { icon: way, words: c.incoming ? "Declined" : (c.text || reasonText(c.reason ?? "", Boolean(c.byPeer))).replace(/\.$/u, "") };
}

function callRow(c: PastCall): Row<PastCall> {
  const account = c.account ?? "";
  const peer = bare(c.peer ?? "");
  const face = avatar("small");
  const name = h("span", { class: "name" });
  const told = how(c);
  const missed = isMissed(c);
  const date = h("time", { class: "when" });
  const again = iconButton(c.video ? "video" : "phone", "", () => void call({ account, jid: peer }, Boolean(c.video)));
  return {
    element: h("li", { class: "pair" },
      h("button", { class: missed ? "row missed" : "row", onclick: () => open({ account, jid: peer }) },
        h("span", { class: "face" }, face.element),
        h("span", { class: "who" }, name, h("span", { class: "line" }, icon(told.icon), told.words)), date),
      again),
    update(c) {
      const called = nameOf(state.value, account, peer);
      face.update(called, peer);
      text(name, called);
      text(date, when(c.ended));
      set(again, "aria-label", `Call ${called}${c.video ? " with video" : ""}`);
      set(again, "title", `Call ${called}`);
    },
  };
}
