// What this browser's user has chosen. It stays in this browser.

import { Signal } from "./signal";

export interface Prefs {
  theme: "auto" | "light" | "dark";
  camera: string; // a device id, empty for the system's choice
  microphone: string;
  speaker: string;
  ring: boolean;
  volume: number; // of the ring tone, 0 to 1
  notify: boolean;
  relayOnly: boolean;
  account: string; // to call from, where there are several
}

const storage = "jingle-phone-prefs";

const defaults: Prefs = {
  theme: "auto", camera: "", microphone: "", speaker: "", ring: true, volume: 0.6, notify: false, relayOnly: false, account: "",
};

function load(): Prefs {
  try {
    return { ...defaults, ...(JSON.parse(localStorage.getItem(storage) ?? "{}") as Partial<Prefs>) };
  } catch {
    return defaults;
  }
}

export const prefs = new Signal<Prefs>(load());

export function setPrefs(change: Partial<Prefs>): void {
  prefs.value = { ...prefs.value, ...change };
  localStorage.setItem(storage, JSON.stringify(prefs.value));
}
