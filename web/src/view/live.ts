// What is said to screen readers.

import { h } from "./dom";

const polite = h("div", { class: "unseen", "aria-live": "polite", role: "status" });
const urgent = h("div", { class: "unseen", "aria-live": "assertive", role: "alert" });

export const voices = [polite, urgent];

export function say(words: string): void {
  speak(polite, words);
}

export function sayAtOnce(words: string): void {
  speak(urgent, words);
}

// The same words again are said again: the region is emptied first.
function speak(region: HTMLElement, words: string): void {
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = words;
  });
}
