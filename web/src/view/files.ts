// Files on their way, and those that have arrived.

import * as api from "../api/phone";
import type { PastTransfer } from "../api/types";
import { attempt } from "../call/actions";
import { cancelUpload } from "../call/send";
import { reasonText } from "../state/reduce";
import { bare, nameOf, type State, type TransferView } from "../state/state";
import { state } from "../state/store";
import { iconButton, wordButton } from "./button";
import { h, list, set, show, text, type Row } from "./dom";
import { remaining, size, when } from "./format";
import { icon } from "./icons";

export function files(): HTMLElement {
  const rows = h("ul", { class: "cards" });
  const past = h("ul", { class: "rows" });
  const pastHead = h("h2", {}, "Earlier");
  const none = h("div", { class: "nobody" }, h("p", {}, "No files yet. Open a person and drop some."));
  const fill = list(rows, (t: TransferView) => t.sid, transferCard);
  const fillPast = list(past, (t: PastTransfer) => `${t.sid} ${t.ended}`, pastRow);
  state.watch((s) => {
    const now = current(s);
    const before = earlier(s);
    fill(now);
    fillPast(before);
    show(pastHead, before.length > 0);
    show(none, now.length + before.length === 0);
  });
  return h("section", { class: "pane", "aria-label": "Files" },
    h("header", { class: "head" }, h("h1", {}, "Files")), h("div", { class: "scroll" }, rows, pastHead, past, none));
}

// current are the transfers that this page has seen, the newest first.
export function current(s: State, jid?: string): TransferView[] {
  return [...s.transfers.values()].filter((t) => !jid || bare(t.peer) === jid).sort((a, b) => b.began - a.began);
}

function earlier(s: State): PastTransfer[] {
  return s.history.flatMap((e) => (e.transfer && !s.transfers.has(e.transfer.sid ?? "") ? [e.transfer] : []));
}

// resting says that it goes on when it is told to.
const resting = (t: TransferView) => t.phase === "paused" || t.phase === "waiting";
const over = (t: TransferView) => t.phase === "done" || t.phase === "failed";

export function transferCard(t: TransferView): Row<TransferView> {
  const name = h("span", { class: "name" });
  const line = h("span", { class: "line" });
  const bar = h("progress", { max: 1, value: 0 });
  const picture = h("span", { class: "tile", "aria-hidden": "true" });
  const accept = wordButton("check", "Accept", () => void attempt(() => api.acceptFile(t)), "main");
  const decline = wordButton("close", "Decline", () => void attempt(() => api.endTransfer(t)), "soft");
  const pause = iconButton("pause", "", () => void attempt(() => (resting(t) ? api.resumeTransfer(t) : api.pauseTransfer(t))));
  const stop = iconButton("close", "", () => {
    if (over(t)) {
      state.value.transfers.delete(t.sid);
      state.touch();
    } else if (!cancelUpload(t.sid)) void attempt(() => api.endTransfer(t));
  });
  const choice = h("div", { class: "choice" }, accept, decline);
  const element = h("li", { class: "card" }, picture,
    h("div", { class: "what" }, name, line, bar), h("div", { class: "tools" }, pause, stop), choice);
  let shown = "";
  return {
    element,
    update(now) {
      t = now;
      text(name, t.name);
      set(name, "title", t.name);
      text(line, lineOf(t));
      set(line, "title", t.hash || undefined);
      const share = t.size > 0 ? t.bytes / t.size : 0;
      bar.value = share;
      set(bar, "aria-label", `${t.name}: ${Math.round(100 * share)} percent`);
      show(bar, !over(t) && t.phase !== "offered");
      show(choice, t.incoming && t.phase === "offered");
      show(pause, t.phase === "running" || resting(t));
      show(stop, !(t.incoming && t.phase === "offered"));
      const word = resting(t) ? "Resume" : "Pause";
      set(pause, "aria-label", `${word} ${t.name}`);
      set(stop, "aria-label", over(t) ? `Take ${t.name} off the list` : `Cancel ${t.name}`);
      const look = `${t.phase} ${t.incoming}`;
      if (look !== shown) {
        shown = look;
        pause.replaceChildren(icon(resting(t) ? "play" : "pause"));
        picture.replaceChildren(icon(t.phase === "done" ? "check" : t.phase === "failed" ? "close" : t.incoming ? "down" : "up"));
        set(element, "class", `card ${t.phase}`);
      }
    },
  };
}

function lineOf(t: TransferView): string {
  const who = nameOf(state.value, t.account, t.peer);
  const whose = t.incoming ? `from ${who}` : `to ${who}`;
  switch (t.phase) {
    case "uploading":
    case "running": {
      const left = t.rate > 0 && t.size > t.bytes ? remaining((t.size - t.bytes) / t.rate) : "";
      const speed = t.rate > 0 ? `${size(t.rate)}/s` : "";
      return [`${size(t.bytes)} of ${size(t.size)}`, speed, left].filter(Boolean).join(" · ");
    }
    case "offered":
      return t.incoming ? [`${size(t.size)} ${whose}`, sealed(t)].filter(Boolean).join(" · ") : `Waiting for ${who} to accept · ${size(t.size)}`;
    case "connecting":
      return `Connecting · ${size(t.size)} ${whose}`;
    case "paused":
      return `Paused at ${size(t.bytes)} of ${size(t.size)}`;
    case "pausedByPeer":
      return `${who} paused it at ${size(t.bytes)} of ${size(t.size)}`;
    case "waiting":
      return `Goes on when ${who} is back · ${size(t.bytes)} of ${size(t.size)}`;
    case "done":
      return [`${size(t.bytes || t.size)} ${whose}`, t.verified ? "verified" : "", sealed(t), t.path ? `in ${t.path}` : ""].filter(Boolean).join(" · ");
    case "failed":
      return t.text || "It did not work.";
  }
}

function sealed(t: TransferView): string {
  return t.encryption === "end-to-end" ? "end-to-end encrypted" : "";
}

function pastRow(t: PastTransfer): Row<PastTransfer> {
  const who = h("span", { class: "line" });
  return {
    element: h("li", { class: t.complete ? "row still" : "row still missed" },
      h("span", { class: "tile", "aria-hidden": "true" }, icon(t.complete ? (t.incoming ? "down" : "up") : "close")),
      h("span", { class: "who" }, h("span", { class: "name", title: t.path ?? "" }, t.name ?? ""), who),
      h("time", { class: "when" }, when(t.ended))),
    update(t) {
      const name = nameOf(state.value, t.account ?? "", t.peer ?? "");
      const whose = `${size(Number(t.size ?? 0))} ${t.incoming ? "from" : "to"} ${name}`;
      text(who, t.complete ? whose : `${t.text || reasonText(t.reason ?? "", false)} ${whose}`);
    },
  };
}
