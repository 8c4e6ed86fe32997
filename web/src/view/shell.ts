// The whole page.

import { live } from "../call/media";
import { activeCall, bare, nameOf, type State } from "../state/state";
import { state } from "../state/store";
import { callStage } from "./call";
import { drops } from "./drop";
import { files } from "./files";
import { h, set, show, text } from "./dom";
import { clock } from "./format";
import { icon, type Icon } from "./icons";
import { incoming } from "./incoming";
import { sayAtOnce, voices } from "./live";
import { people } from "./people";
import { person } from "./person";
import { isMissed, pastCalls, recents } from "./recents";
import { pane, stage, type Pane } from "./route";
import { presenceMenu, settings } from "./settings";
import { sound } from "./sound";
import { toasts } from "./toast";

export function shell(): HTMLElement[] {
  const options = settings();
  const panes: Record<Pane, HTMLElement> = { people: people(), recents: recents(), files: files() };
  const stages = { none: welcome(), person: person(), call: callStage() };
  const tabs = nav(() => {
    if (!options.open) options.showModal();
  });
  const parts = h("main", { class: "parts" }, h("div", { class: "side" }, connection(), ...Object.values(panes)),
    h("div", { class: "stage" }, ...Object.values(stages)));
  const app = h("div", { class: "app" }, tabs, parts);
  const bar = callBar();
  const locked = lockedPage();

  pane.watch((p) => {
    for (const [name, element] of Object.entries(panes)) show(element, name === p);
  });
  let focused = "";
  stage.watch((which) => {
    for (const [name, element] of Object.entries(stages)) show(element, name === which);
    set(app, "data-stage", which);
    const about = which === "person" ? `person ${state.value.selected?.jid}` : which;
    // Who uses the keyboard goes along: on a narrow page the stage is in front of the list, and what had the focus may be gone.
    const active = document.activeElement;
    const lost = !active || active === document.body || active.closest("[hidden]") !== null;
    if (about !== focused && which !== "none" && (lost || matchMedia("(max-width: 760px)").matches)) stages[which].querySelector("h1")?.focus();
    focused = about;
    renderBar(state.value);
  });
  let lastCall = "";
  state.watch((s) => {
    set(app, "data-link", s.link);
    app.inert = s.link === "locked";
    show(locked.element, s.link === "locked");
    if (s.link === "locked") locked.update(s.lockedText);
    const c = activeCall(s);
    // A call comes to the front when it begins, and leaves when it ends.
    if (c && c.sid !== lastCall) {
      s.selected = { account: c.account, jid: bare(c.peer) };
      stage.value = "call";
    }
    else if (!c && lastCall && stage.value === "call") stage.value = s.selected ? "person" : "none";
    lastCall = c?.sid ?? "";
    renderBar(s);
  });
  function renderBar(s: State): void {
    const c = activeCall(s);
    show(bar.element, c !== undefined && stage.value !== "call");
    if (c) bar.update(nameOf(s, c.account, c.peer), c.connectedAt);
  }
  return [bar.element, app, incoming(), options, locked.element, drops(), toasts, sound(), ...voices];
}

function nav(openSettings: () => void): HTMLElement {
  const tab = (name: Pane, words: string, picture: Icon) => {
    const count = h("span", { class: "count", hidden: true });
    const b = h("button", { type: "button", onclick: () => {
      pane.value = name;
      if (matchMedia("(max-width: 760px)").matches) stage.value = "none";
    } }, icon(picture), h("span", {}, words), count);
    pane.watch((p) => set(b, "aria-current", p === name ? "page" : undefined));
    return { b, count };
  };
  const peopleTab = tab("people", "People", "people");
  const recentsTab = tab("recents", "Recents", "clock");
  const filesTab = tab("files", "Files", "file");
  let seen = localStorage.getItem("jingle-phone-seen") ?? new Date(0).toISOString();
  const badge = (count: HTMLElement, n: number, words: string) => {
    show(count, n > 0);
    text(count, n > 9 ? "9+" : String(n));
    set(count, "aria-label", words);
  };
  const render = (s: State) => {
    if (pane.value === "recents" && s.history.length > 0) {
      seen = new Date().toISOString();
      localStorage.setItem("jingle-phone-seen", seen);
    }
    badge(peopleTab.count, s.requests.length, "requests");
    badge(recentsTab.count, pastCalls(s).filter((c) => isMissed(c) && (c.ended ?? "") > seen).length, "missed calls");
    badge(filesTab.count, [...s.transfers.values()].filter((t) => t.incoming && t.phase === "offered").length, "files to accept");
  };
  state.watch(render);
  pane.watch(() => render(state.value));
  return h("nav", { class: "tabs", "aria-label": "Phone" },
    h("span", { class: "brand", "aria-hidden": "true" }, icon("phone")),
    peopleTab.b, recentsTab.b, filesTab.b, h("span", { class: "grow" }),
    h("button", { type: "button", onclick: openSettings }, icon("gear"), h("span", {}, "Settings")));
}

// connection is the account, whether it is reached, and what others see of it.
function connection(): HTMLElement {
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const who = h("span", { class: "name" });
  const trouble = h("p", { class: "trouble", role: "status" });
  const menu = presenceMenu();
  state.watch((s) => {
    const online = s.accounts.filter((a) => a.state === "ACCOUNT_STATE_ONLINE");
    const [first] = s.accounts;
    text(who, s.accounts.length > 1 ? `${s.accounts.length} accounts` : (first?.jid ?? "No account"));
    set(dot, "class", `dot ${s.link === "live" && online.length > 0 ? "online" : "offline"}`);
    const down = s.accounts.find((a) => a.state !== "ACCOUNT_STATE_ONLINE");
    text(trouble, s.link === "lost" ? "The daemon does not answer. Trying again…" : s.link === "live" && down ? `${down.jid}: ${down.error || "connecting…"}` : "");
    show(trouble, trouble.textContent !== "");
  });
  return h("header", { class: "me" }, h("div", { class: "line-up" }, dot, who, h("span", { class: "grow" }), menu), trouble);
}

function welcome(): HTMLElement {
  return h("div", { class: "welcome" }, h("span", { class: "brand", "aria-hidden": "true" }, icon("phone")),
    h("p", {}, "Choose somebody to call, or to send files to."));
}

// callBar stands above everything else while a call goes on.
function callBar(): { element: HTMLElement; update(name: string, connectedAt: number | undefined): void } {
  const words = h("span", {});
  const time = h("span", { class: "timer" });
  const element = h("button", { type: "button", class: "call-bar", hidden: true, onclick: () => {
    stage.value = "call";
  } }, icon("phone"), words, time, h("span", { class: "grow" }), h("span", { class: "return" }, "Return to the call"));
  let since: number | undefined;
  setInterval(() => text(time, since ? clock((Date.now() - since) / 1000) : ""), 500);
  return {
    element,
    update(name, connectedAt) {
      since = connectedAt;
      text(words, live.value ? `In a call with ${name}` : `Call with ${name}`);
    },
  };
}

function lockedPage(): { element: HTMLElement; update(words: string): void } {
  const words = h("p", {});
  return {
    element: h("main", { class: "locked", hidden: true }, h("div", {},
      h("span", { class: "brand", "aria-hidden": "true" }, icon("shield")), h("h1", {}, "The phone is locked"), words,
      h("p", {}, "To open it, run this on this machine:"), h("code", {}, "jingle phone"))),
    update(why) {
      if (words.textContent === why) return;
      text(words, why);
      sayAtOnce(`The phone is locked. ${why}`);
    },
  };
}
