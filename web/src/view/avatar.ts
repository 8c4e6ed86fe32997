// A person's picture: initials on a colour that is always the same for an address.

import { h, text } from "./dom";

export interface Avatar {
  element: HTMLElement;
  update(name: string, jid: string): void;
}

export function avatar(kind: "small" | "large" | "huge"): Avatar {
  const letters = h("span", {});
  const element = h("span", { class: `avatar ${kind}`, "aria-hidden": "true" }, letters);
  return {
    element,
    update(name, jid) {
      text(letters, initials(name));
      element.style.setProperty("--hue", String(hue(jid)));
    },
  };
}

export function initials(name: string): string {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? ([...(words.at(-1) ?? "")][0] ?? "") : "";
  return (first + last).toUpperCase();
}

function hue(jid: string): number {
  // FNV-1a, which spreads addresses that differ in one letter.
  let n = 0x811c9dc5;
  for (const c of jid) n = Math.imul(n ^ (c.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return ((n ^ (n >>> 15)) >>> 0) % 360;
}
