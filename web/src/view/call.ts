// The call that this page is in, or could join.

import * as actions from "../call/actions";
import { live, type Live } from "../call/media";
import { activeCall, bare, nameOf, type CallView, type State } from "../state/state";
import { state } from "../state/store";
import { avatar } from "./avatar";
import { iconButton, toggle, wordButton } from "./button";
import { h, set, show, text } from "./dom";
import { clock } from "./format";
import { icon } from "./icons";
import { keypad } from "./keypad";
import { quality } from "./quality";
import { back } from "./route";

export function callStage(): HTMLElement {
  const now = () => activeCall(state.value);
  const act = (what: (c: CallView) => unknown) => () => {
    const c = now();
    if (c) void what(c);
  };
  const face = avatar("huge");
  const name = h("h1", { tabindex: -1 });
  const status = h("p", { class: "status", role: "status" });
  const timer = h("p", { class: "timer", role: "timer", "aria-label": "Length of the call" });
  const peerState = h("p", { class: "peer-state", role: "status" });
  const remote = h("video", { class: "remote", autoplay: true, playsinline: true, "aria-label": "Their picture" });
  const own = h("video", { class: "own", autoplay: true, playsinline: true, muted: true, "aria-label": "Your picture" });
  own.muted = true;
  remote.muted = true; // it is heard by sound.ts
  const pad = keypad(now);
  const figures = quality();

  const muteButton = toggle("Mute", act((c) => actions.mute(c, !c.muted)));
  const cameraButton = toggle("Camera", () => void actions.show(live.value?.picture === "camera" ? "none" : "camera"));
  const screenButton = toggle("Screen", () => void actions.show(live.value?.picture === "screen" ? "none" : "screen"));
  const holdButton = toggle("Hold", act((c) => actions.hold(c, !c.held)));
  const padButton = toggle("Keypad", () => panel("pad"));
  const chartButton = toggle("Quality", () => panel("figures"));
  const end = h("button", { type: "button", class: "toggle end", "aria-label": "Hang up", onclick: act((c) => actions.hangUp(c)) },
    h("span", { class: "face" }, icon("hangup")), h("span", { class: "caption", "aria-hidden": "true" }, "Hang up"));
  const joinButton = wordButton("phone", "Bring the call here", act((c) => actions.join(c)), "main");
  const elsewhere = h("div", { class: "elsewhere" }, h("p", {}, "The sound of this call is not in this window."), joinButton);
  const controls = h("div", { class: "controls", role: "toolbar", "aria-label": "Call" },
    muteButton.element, cameraButton.element, screenButton.element, padButton.element, holdButton.element, chartButton.element, end);
  const element = h("section", { class: "call", "aria-label": "Call" },
    remote,
    h("header", { class: "top" }, iconButton("back", "Back to the list; the call goes on", back, "quiet round back"),
      h("div", { class: "slim" }), h("span", { class: "grow" }), iconButton("expand", "Full screen", () => fullScreen(element))),
    h("div", { class: "party" }, h("span", { class: "halo" }, face.element), name, status, timer, peerState),
    own, pad.element, figures.element, elsewhere, controls);

  let open: "none" | "pad" | "figures" = matchMedia("(min-width: 1100px)").matches ? "figures" : "none";
  function panel(which: "pad" | "figures"): void {
    open = open === which ? "none" : which;
    render(state.value);
    if (open === "pad") pad.element.querySelector("button")?.focus();
  }

  let shownSid = "";
  function render(s: State): void {
    const c = activeCall(s);
    if (!c) {
      shownSid = "";
      return;
    }
    if (c.sid !== shownSid) {
      shownSid = c.sid;
      pad.clear();
    }
    const l = live.value?.sid === c.sid ? live.value : undefined;
    const called = nameOf(s, c.account, c.peer);
    face.update(called, bare(c.peer));
    text(name, called);
    text(status, statusOf(c));
    show(status, c.phase !== "connected" || c.held);
    show(timer, c.phase === "connected");
    const says = [c.peerMuted && `${called} is muted`, c.peerHeld && `${called} has put you on hold`, c.pressed && `Keys: ${c.pressed}`].filter(Boolean).join(" · ");
    text(peerState, says);
    show(peerState, says !== "");
    pictures(l, c);
    muteButton.update(c.muted, c.muted ? "micOff" : "mic");
    cameraButton.update(l?.picture === "camera", l?.picture === "camera" ? "video" : "videoOff");
    screenButton.update(l?.picture === "screen", "screen");
    holdButton.update(c.held, c.held ? "play" : "pause");
    padButton.update(open === "pad", "keypad");
    const going = c.phase === "connected";
    chartButton.update(open === "figures" && going, "chart");
    for (const b of [holdButton, padButton, chartButton]) b.element.disabled = !going;
    for (const b of [muteButton, cameraButton, screenButton]) b.element.disabled = !l;
    show(pad.element, open === "pad" && going);
    show(figures.element, open === "figures" && going);
    show(elsewhere, !l && going);
    if (going) figures.update(c);
    set(element, "data-phase", c.phase);
    set(element, "data-video", !remote.hidden);
  }

  function pictures(l: Live | undefined, c: CallView): void {
    const stream = l?.bridge?.remote ?? null;
    if (remote.srcObject !== stream) {
      remote.srcObject = stream;
      void remote.play().catch(() => undefined);
    }
    show(remote, Boolean(l?.bridge?.moving) && !c.held);
    if (l?.video) {
      const current = (own.srcObject as MediaStream | null)?.getVideoTracks()[0];
      if (current !== l.video) own.srcObject = new MediaStream([l.video]);
    } else if (own.srcObject) own.srcObject = null;
    set(own, "class", l?.picture === "screen" ? "own screen" : "own");
    show(own, l?.video !== undefined);
  }

  state.watch(render);
  live.watch(() => render(state.value));
  setInterval(() => {
    const c = now();
    if (c?.connectedAt) text(timer, clock((Date.now() - c.connectedAt) / 1000));
  }, 250);
  element.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || now()?.phase !== "connected") return;
    if (pad.type(e.key.toUpperCase())) e.preventDefault();
  });
  return element;
}

function statusOf(c: CallView): string {
  if (c.held) return "On hold";
  switch (c.phase) {
    case "calling": return "Calling…";
    case "ringing": return "Ringing…";
    case "connecting": return "Connecting…";
    case "connected": return "";
  }
}

function fullScreen(e: HTMLElement): void {
  void (document.fullscreenElement ? document.exitFullscreen() : e.requestFullscreen()).catch(() => undefined);
}
