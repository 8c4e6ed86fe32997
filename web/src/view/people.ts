// The people that can be called: the contact list, requests, and a field that finds and dials.

import * as api from "../api/phone";
import type { Contact, SubscriptionRequest } from "../api/types";
import { attempt } from "../call/actions";
import { prefs } from "../state/prefs";
import { bare, isOnline, nameOf, type Person, type State } from "../state/state";
import { loadContacts, state } from "../state/store";
import { addContact } from "./addcontact";
import { avatar } from "./avatar";
import { iconButton, wordButton } from "./button";
import { h, list, set, show, text, type Row } from "./dom";
import { icon } from "./icons";
import { abilityList, presenceClass, presenceLine } from "./presence";
import { open } from "./route";

export function people(): HTMLElement {
  const search = h("input", {
    type: "search", id: "find", placeholder: "Name, or address to dial", autocomplete: "off", spellcheck: "false",
    "aria-label": "Find a person, or dial an address", oninput: () => render(state.value),
    onkeydown: (e: KeyboardEvent) => {
      if (e.key === "Enter") first()?.click();
    },
  });
  const dial = h("button", { class: "row dial", onclick: () => open({ account: accountToUse(state.value), jid: search.value.trim() }) },
    h("span", { class: "avatar small plain", "aria-hidden": "true" }, icon("phone")), h("span", { class: "who" }));
  const requests = h("ul", { class: "rows" });
  const online = h("ul", { class: "rows" });
  const others = h("ul", { class: "rows" });
  const onlineHead = h("h2", {}, "Online");
  const othersHead = h("h2", {}, "Others");
  const requestsHead = h("h2", {}, "Want to see when you are there");
  const nobody = h("div", { class: "nobody" },
    h("p", {}, "Nobody is on the contact list yet."),
    wordButton("plus", "Add a contact", () => addContact(), "soft"));
  const pane = h("section", { class: "pane", "aria-label": "People" },
    h("header", { class: "head" }, h("h1", {}, "People"), iconButton("plus", "Add a contact", () => addContact())),
    h("div", { class: "search" }, icon("search"), search),
    h("div", { class: "scroll" }, dial, requestsHead, requests, onlineHead, online, othersHead, others, nobody));

  const first = () => pane.querySelector<HTMLButtonElement>(".scroll button.row:not([hidden])");
  const setOnline = list(online, keyOfContact, contactRow);
  const setOthers = list(others, keyOfContact, contactRow);
  const setRequests = list(requests, (r: SubscriptionRequest) => `${r.account} ${r.jid}`, requestRow);

  function render(s: State): void {
    const wanted = search.value.trim().toLowerCase();
    const all = [...s.contacts.values()].filter((c) => matches(c, wanted)).sort(byName);
    const here = all.filter((c) => isOnline(c.availability));
    const away = all.filter((c) => !isOnline(c.availability));
    setOnline(here);
    setOthers(away);
    setRequests(s.requests);
    show(requestsHead, s.requests.length > 0);
    show(onlineHead, here.length > 0);
    show(othersHead, here.length > 0 && away.length > 0);
    show(nobody, all.length === 0 && wanted === "" && s.link === "live");
    const address = /^[^@\s/]+@[^@\s/]+\S*$/u.test(wanted) && !all.some((c) => c.jid === wanted);
    show(dial, address);
    if (address) text(dial.querySelector(".who") as Element, `Call or send to ${search.value.trim()}`);
  }
  state.watch(render);
  return pane;
}

// accountToUse is the account that a dialled address is called from.
export function accountToUse(s: State): string {
  const chosen = s.accounts.find((a) => a.jid === prefs.value.account);
  return (chosen ?? s.accounts.find((a) => a.state === "ACCOUNT_STATE_ONLINE") ?? s.accounts[0])?.jid ?? "";
}

function matches(c: Contact, wanted: string): boolean {
  return wanted === "" || c.jid.includes(wanted) || (c.name ?? "").toLowerCase().includes(wanted);
}

function byName(a: Contact, b: Contact): number {
  return (a.name || a.jid).localeCompare(b.name || b.jid);
}

function keyOfContact(c: Contact): string {
  return `${c.account} ${c.jid}`;
}

function contactRow(c: Contact): Row<Contact> {
  const person: Person = { account: c.account ?? "", jid: c.jid };
  const face = avatar("small");
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const name = h("span", { class: "name" });
  const line = h("span", { class: "line" });
  const can = h("span", { class: "can" });
  const button = h("button", { class: "row", onclick: () => open(person) },
    h("span", { class: "face" }, face.element, dot), h("span", { class: "who" }, name, line), can);
  let shown = "";
  return {
    element: h("li", {}, button),
    update(c) {
      const s = state.value;
      const called = nameOf(s, person.account, c.jid);
      face.update(called, c.jid);
      text(name, called);
      text(line, presenceLine(c));
      set(dot, "class", `dot ${presenceClass(c.availability)}`);
      const selected = s.selected?.jid !== undefined && bare(s.selected.jid) === c.jid && s.selected.account === person.account;
      set(button, "aria-current", selected ? "true" : undefined);
      const abilities = abilityList(c.abilities).filter((a) => a.icon !== "file");
      const key = abilities.map((a) => a.icon).join(" ");
      if (key !== shown) {
        shown = key;
        can.replaceChildren(...abilities.map((a) => icon(a.icon)), h("span", { class: "unseen" }, abilities.length > 0 ? `Can take ${abilities.map((a) => a.words.toLowerCase()).join(", ")}` : ""));
      }
    },
  };
}

function requestRow(r: SubscriptionRequest): Row<SubscriptionRequest> {
  const face = avatar("small");
  const jid = r.jid ?? "";
  const line = h("span", { class: "line" });
  const reply = (accept: boolean) => attempt(async () => {
    await api.answerSubscription(r.account ?? "", jid, accept);
    await loadContacts();
  });
  return {
    element: h("li", { class: "row still" }, h("span", { class: "face" }, face.element),
      h("span", { class: "who" }, h("span", { class: "name" }, jid), line),
      iconButton("check", `Accept ${jid}`, () => void reply(true), "good round"),
      iconButton("close", `Deny ${jid}`, () => void reply(false))),
    update(r) {
      face.update(jid, jid);
      text(line, r.text || "asks to be a contact");
    },
  };
}
