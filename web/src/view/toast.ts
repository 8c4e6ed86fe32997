// Short words at the edge of the page.

import { h } from "./dom";
import { icon } from "./icons";

export const toasts = h("div", { class: "toasts", role: "log", "aria-live": "polite", "aria-label": "Messages" });

const shownFor = 7000; // ms
const most = 4;

export function tell(words: string): void {
  add(words, "toast");
}

// complain tells what went wrong.
export function complain(words: string): void {
  add(words, "toast bad");
}

function add(words: string, kind: string): void {
  const box = h("div", { class: kind }, h("p", {}, words));
  const close = h("button", { class: "quiet round small", "aria-label": "Dismiss", onclick: () => box.remove() }, icon("close"));
  box.append(close);
  toasts.append(box);
  while (toasts.childElementCount > most) toasts.firstElementChild?.remove();
  let timer = setTimeout(() => box.remove(), shownFor);
  // Who reads it, or is on it with the keyboard, is not hurried.
  const stay = () => clearTimeout(timer);
  const go = () => {
    clearTimeout(timer);
    timer = setTimeout(() => box.remove(), shownFor / 2);
  };
  box.addEventListener("pointerenter", stay);
  box.addEventListener("pointerleave", go);
  box.addEventListener("focusin", stay);
  box.addEventListener("focusout", go);
}
