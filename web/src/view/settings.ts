// Devices, looks and privacy.

import { leave } from "../api/session";
import * as api from "../api/phone";
import type { Availability } from "../api/types";
import { attempt } from "../call/actions";
import { useCamera, useMicrophone } from "../call/media";
import { camera, devices, microphone, refresh } from "../media/devices";
import { ring, Ringing } from "../media/tones";
import { prefs, setPrefs, type Prefs } from "../state/prefs";
import { loadContacts, lock, state } from "../state/store";
import { wordButton } from "./button";
import { h, set, show, text } from "./dom";
import { presenceWords } from "./presence";

export function settings(): HTMLDialogElement {
  const preview = h("video", { class: "preview", hidden: true, autoplay: true, playsinline: true, muted: true, "aria-label": "Your camera" });
  preview.muted = true;
  let seen: MediaStreamTrack | undefined;
  const stopPreview = () => {
    seen?.stop();
    seen = undefined;
    preview.srcObject = null;
    show(preview, false);
    text(tryCamera, "See yourself");
  };
  const tryCamera = h("button", { type: "button", class: "soft", onclick: () => {
    if (seen) return stopPreview();
    void attempt(async () => {
      seen = await camera();
      preview.srcObject = new MediaStream([seen]);
      show(preview, true);
      text(tryCamera, "Stop");
    });
  } }, "See yourself");
  const microphones = choice("Microphone", "microphone", () => void attempt(useMicrophone));
  const cameras = choice("Camera", "camera", () => {
    if (seen) stopPreview();
    void attempt(useCamera);
  });
  const speakers = choice("Speaker", "speaker");
  const allow = wordButton("mic", "Let the browser name your devices", () => void attempt(async () => (await microphone()).stop()), "soft");
  devices.watch((d) => {
    microphones.options(d.microphones);
    cameras.options(d.cameras);
    speakers.options(d.speakers);
    show(speakers.element, d.speakers.length > 0);
    show(allow, d.microphones.every((m) => m.label === ""));
  });

  const accounts = h("ul", { class: "accounts" });
  const version = h("p", { class: "hint" });
  state.watch((s) => {
    accounts.replaceChildren(...s.accounts.map((a) => h("li", {},
      h("span", { class: `dot ${a.state === "ACCOUNT_STATE_ONLINE" ? "online" : "offline"}`, "aria-hidden": "true" }),
      h("span", { class: "who" }, h("span", { class: "name" }, a.jid),
        h("span", { class: "line" }, a.error || (a.state === "ACCOUNT_STATE_ONLINE" ? "Connected" : "Not connected"))))));
    text(version, `Jingled ${s.version}. Sound and pictures go from this page to the daemon on this machine, and from there to the other side.`);
  });

  const bell = new Ringing();
  const tryRing = h("button", { type: "button", class: "soft", onclick: () => {
    ring(bell);
    setTimeout(() => bell.stop(), 2500);
  } }, "Listen");
  const volume = h("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": "Loudness of the ring tone", oninput: () => setPrefs({ volume: volume.valueAsNumber }) });

  const dialog = h("dialog", { class: "modal settings", "aria-labelledby": "settings-title", onclose: stopPreview },
    h("form", { method: "dialog" },
      h("header", { class: "head" }, h("h2", { id: "settings-title" }, "Settings"), h("button", { class: "soft" }, "Done")),
      h("div", { class: "body scroll" },
        part("Sound and picture", microphones.element, speakers.element, cameras.element, preview, h("div", { class: "line-up" }, tryCamera, allow)),
        part("Ring", check("Ring when somebody calls", "ring"), h("div", { class: "line-up" }, volume, tryRing),
          check("Show a notice when this page is not in front", "notify", () => void ("Notification" in window && Notification.requestPermission()))),
        part("Looks", themes()),
        part("Privacy", check("Call by relays only: the other side does not learn this machine's addresses", "relayOnly")),
        part("Accounts", accounts, version,
          wordButton("close", "Sign this browser out", () => void attempt(async () => {
            await leave();
            dialog.close();
            lock("This browser is signed out.");
          }), "soft")))));
  prefs.watch((p) => {
    volume.value = String(p.volume);
  });
  dialog.addEventListener("beforetoggle", () => void refresh());
  return dialog;
}

function part(name: string, ...children: HTMLElement[]): HTMLElement {
  return h("fieldset", {}, h("legend", {}, name), ...children);
}

type Flag = { [K in keyof Prefs]: Prefs[K] extends boolean ? K : never }[keyof Prefs];

function check(words: string, name: Flag, on?: () => void): HTMLElement {
  const box = h("input", { type: "checkbox", role: "switch", onchange: () => {
    setPrefs({ [name]: box.checked });
    if (box.checked) on?.();
  } });
  prefs.watch((p) => {
    box.checked = p[name];
  });
  return h("label", { class: "check" }, h("span", {}, words), box);
}

function choice(words: string, name: "microphone" | "camera" | "speaker", changed?: () => void): { element: HTMLElement; options(d: MediaDeviceInfo[]): void } {
  const select = h("select", { onchange: () => {
    setPrefs({ [name]: select.value });
    changed?.();
  } });
  return {
    element: h("label", { class: "field" }, h("span", {}, words), select),
    options(list) {
      select.replaceChildren(h("option", { value: "" }, "The system's choice"),
        ...list.map((d, n) => h("option", { value: d.deviceId }, d.label || `${words} ${n + 1}`)));
      select.value = list.some((d) => d.deviceId === prefs.value[name]) ? prefs.value[name] : "";
    },
  };
}

function themes(): HTMLElement {
  const names: Record<Prefs["theme"], string> = { auto: "As the system", light: "Light", dark: "Dark" };
  const group = h("div", { class: "segments", role: "radiogroup", "aria-label": "Looks" });
  for (const [theme, words] of Object.entries(names) as [Prefs["theme"], string][]) {
    const radio = h("input", { type: "radio", name: "theme", value: theme, class: "unseen", onchange: () => setPrefs({ theme }) });
    prefs.watch((p) => {
      radio.checked = p.theme === theme;
    });
    group.append(h("label", {}, radio, h("span", {}, words)));
  }
  return group;
}

// presenceMenu is what contacts see of us, as a list to choose from.
export function presenceMenu(): HTMLElement {
  const kinds: Availability[] = ["AVAILABILITY_AVAILABLE", "AVAILABILITY_CHAT", "AVAILABILITY_AWAY", "AVAILABILITY_XA", "AVAILABILITY_DND"];
  const select = h("select", { "aria-label": "What contacts see of you", onchange: () => void attempt(async () => {
    for (const a of state.value.accounts) await api.setPresence(a.jid, select.value as Availability, "");
    await loadContacts();
  }) }, ...kinds.map((k) => h("option", { value: k }, presenceWords(k))));
  state.watch((s) => {
    const mine = s.presences[0]?.availability;
    const value = mine && mine !== "AVAILABILITY_UNSPECIFIED" ? mine : "AVAILABILITY_AVAILABLE";
    if (select.value !== value && document.activeElement !== select) select.value = value;
    set(select, "disabled", s.link !== "live" || s.accounts.length === 0);
  });
  return select;
}
