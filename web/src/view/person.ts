// One person: what they can do, and what was between you.

import * as api from "../api/phone";
import { attempt, call } from "../call/actions";
import { send } from "../call/send";
import { bare, contactOf, isOnline, keyOf, nameOf, type Person, type State, type TransferView } from "../state/state";
import { state } from "../state/store";
import type { Device, PastCall } from "../api/types";
import { addContact, blockPerson, removeContact, renameContact } from "./addcontact";
import { avatar } from "./avatar";
import { iconButton, wordButton } from "./button";
import { h, list, set, show, text, type Row } from "./dom";
import { current, transferCard } from "./files";
import { when } from "./format";
import { icon } from "./icons";
import { abilityList, deviceIcon, deviceName, presenceClass, presenceLine, presenceWords } from "./presence";
import { how, isMissed, keyOfCall, pastCalls } from "./recents";
import { back } from "./route";

const shownCalls = 8;

export function person(): HTMLElement {
  const who = (): Person => state.value.selected ?? { account: "", jid: "" };
  const face = avatar("huge");
  const name = h("h1", { tabindex: -1 });
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const line = h("span", {});
  const address = h("p", { class: "address" });
  const chooser = h("input", { type: "file", multiple: true, class: "unseen", tabindex: -1, "aria-hidden": "true", onchange: () => {
    void send(who(), [...(chooser.files ?? [])]);
    chooser.value = "";
  } });
  const voice = wordButton("phone", "Call", () => void call(who(), false), "main");
  const video = wordButton("video", "Video", () => void call(who(), true), "soft");
  const file = wordButton("file", "Send files", () => chooser.click(), "soft");
  const add = iconButton("plus", "Add to contacts", () => addContact(bare(who().jid)));
  const rename = iconButton("pencil", "Rename", () => renameContact(who().account, bare(who().jid), contact()?.name ?? ""));
  const remove = iconButton("trash", "Remove from contacts", () => removeContact(who().account, bare(who().jid)));
  const ban = iconButton("ban", "Block", () => void block());
  const isBlocked = () => state.value.blocked.has(keyOf(who().account, who().jid));
  const contact = () => contactOf(state.value, who().account, who().jid);

  const devices = h("ul", { class: "devices" });
  const devicesPart = h("section", { class: "part" }, h("h2", {}, "Devices"), devices);
  const transfers = h("ul", { class: "cards" });
  const filesPart = h("section", { class: "part" }, h("h2", {}, "Files"), transfers);
  const calls = h("ul", { class: "rows plain" });
  const callsPart = h("section", { class: "part" }, h("h2", {}, "Calls"), calls);
  const element = h("article", { class: "person" },
    h("header", { class: "top" }, iconButton("back", "Back to the list", back, "quiet round back"), h("span", { class: "grow" }), add, rename, ban, remove),
    h("div", { class: "scroll" },
      h("div", { class: "card-of" }, face.element, name, address, h("p", { class: "presence" }, dot, line),
        h("div", { class: "actions" }, voice, video, file), chooser),
      h("p", { class: "drop-hint" }, icon("down"), "Drop files anywhere here to send them"),
      filesPart, devicesPart, callsPart));

  async function block(): Promise<void> {
    const p = who();
    if (isBlocked()) await attempt(() => api.unblock(p.account, bare(p.jid)));
    else blockPerson(p.account, bare(p.jid));
  }

  const fillDevices = list(devices, (d: Device) => d.jid, deviceRow);
  const fillFiles = list(transfers, (t: TransferView) => t.sid, transferCard);
  const fillCalls = list(calls, keyOfCall, callRow);

  state.watch((s: State) => {
    const p = s.selected;
    if (!p) return;
    const c = contactOf(s, p.account, p.jid);
    const called = nameOf(s, p.account, p.jid);
    face.update(called, bare(p.jid));
    text(name, called);
    text(address, p.jid);
    set(dot, "class", `dot ${presenceClass(c?.availability)}`);
    text(line, c ? presenceLine(c) : "Not on the contact list");
    show(add, c === undefined);
    const banned = isBlocked();
    set(ban, "aria-pressed", String(banned));
    set(ban, "title", banned ? "Unblock" : "Block");
    if (banned) text(line, "Blocked");
    show(rename, c !== undefined);
    show(remove, c !== undefined);
    // What somebody offline, or hidden from us, can do is not known: they may be called all the same.
    const known = c && isOnline(c.availability) ? c.abilities : undefined;
    able(voice, !known || Boolean(known.audio), `${called} has no client that takes calls`);
    able(video, !known || Boolean(known.video), `${called} has no client with video`);
    able(file, true, "");
    fillDevices(c?.devices ?? []);
    show(devicesPart, (c?.devices ?? []).length > 0);
    const moving = current(s, bare(p.jid));
    fillFiles(moving);
    show(filesPart, moving.length > 0);
    const past = pastCalls(s).filter((x) => bare(x.peer ?? "") === bare(p.jid)).slice(0, shownCalls);
    fillCalls(past);
    show(callsPart, past.length > 0);
  });
  return element;
}

// able leaves a button reachable by keyboard also when it cannot be used, so that its reason can be read.
function able(b: HTMLButtonElement, can: boolean, why: string): void {
  if (b.disabled === can) b.disabled = !can;
  set(b, "title", can ? undefined : why);
}

function deviceRow(d: Device): Row<Device> {
  const name = h("span", { class: "name" });
  const line = h("span", { class: "line" });
  const can = h("span", { class: "chips" });
  let shown = "";
  return {
    element: h("li", {}, h("span", { class: "tile", "aria-hidden": "true" }, icon(deviceIcon(d))), h("span", { class: "who" }, name, line), can),
    update(d) {
      text(name, deviceName(d));
      text(line, d.status || presenceWords(d.availability ?? "AVAILABILITY_AVAILABLE"));
      const abilities = abilityList(d.abilities);
      const key = abilities.map((a) => a.words).join();
      if (key !== shown) {
        shown = key;
        can.replaceChildren(...abilities.map((a) => h("span", { class: "chip" }, icon(a.icon), a.words)));
      }
    },
  };
}

function callRow(c: PastCall): Row<PastCall> {
  const told = how(c);
  return {
    element: h("li", { class: isMissed(c) ? "row still missed" : "row still" },
      h("span", { class: "tile", "aria-hidden": "true" }, icon(told.icon)),
      h("span", { class: "who" }, h("span", { class: "name" }, told.words)), h("time", { class: "when" }, when(c.ended))),
    update: () => undefined,
  };
}
