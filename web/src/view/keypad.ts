// The keys of a telephone. They can be typed too.

import { press } from "../call/actions";
import type { CallView } from "../state/state";
import { h } from "./dom";

const keys: readonly (readonly [string, string])[] = [
  ["1", ""], ["2", "ABC"], ["3", "DEF"], ["4", "GHI"], ["5", "JKL"], ["6", "MNO"],
  ["7", "PQRS"], ["8", "TUV"], ["9", "WXYZ"], ["*", ""], ["0", "+"], ["#", ""],
];

const names: Record<string, string> = { "*": "star", "#": "hash" };

export interface Keypad {
  element: HTMLElement;
  type(key: string): boolean; // whether it was one of the keys
  clear(): void;
}

export function keypad(call: () => CallView | undefined): Keypad {
  const typed = h("output", { class: "typed", "aria-label": "Keys pressed", "aria-live": "off" });
  const buttons = new Map<string, HTMLButtonElement>();
  const type = (key: string): boolean => {
    const c = call();
    const button = buttons.get(key);
    if (!c || !button) return false;
    typed.textContent = (typed.textContent + key).slice(-18);
    button.animate?.([{ scale: "0.92" }, { scale: "1" }], { duration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 160 });
    void press(c, key);
    return true;
  };
  for (const [key, letters] of keys) {
    buttons.set(key, h("button", { type: "button", class: "key", "aria-label": names[key] ?? key, "data-letters": letters, onclick: () => type(key) }, key));
  }
  return {
    element: h("div", { class: "keypad", role: "group", "aria-label": "Dial pad" }, typed, h("div", { class: "keys" }, ...buttons.values())),
    type,
    clear: () => {
      typed.textContent = "";
    },
  };
}
