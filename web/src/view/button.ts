// Buttons with an icon.

import { h, set } from "./dom";
import { icon, type Icon } from "./icons";

export interface Toggle {
  element: HTMLButtonElement;
  // update shows whether it is on, and a picture of that.
  update(on: boolean, picture: Icon): void;
}

// iconButton has only a picture; its label is for screen readers and as a hint.
export function iconButton(picture: Icon, label: string, click: () => void, kind = "quiet round"): HTMLButtonElement {
  return h("button", { type: "button", class: kind, "aria-label": label, title: label, onclick: click }, icon(picture));
}

// wordButton has a picture and words.
export function wordButton(picture: Icon, words: string, click: () => void, kind = ""): HTMLButtonElement {
  return h("button", { type: "button", class: `words ${kind}`, onclick: click }, icon(picture), h("span", {}, words));
}

// toggle is a round button of a call with its name below. What it is called never changes; that it is on is its state.
export function toggle(name: string, click: () => void): Toggle {
  const face = h("span", { class: "face" });
  const element = h("button", { type: "button", class: "toggle", "aria-pressed": "false", onclick: click }, face, h("span", { class: "caption" }, name));
  let shown: Icon | undefined;
  return {
    element,
    update(on, picture) {
      set(element, "aria-pressed", String(on));
      if (shown !== picture) {
        shown = picture;
        face.replaceChildren(icon(picture));
      }
    },
  };
}
