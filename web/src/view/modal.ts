// A dialog over the page: a form, or something to be confirmed. It goes away by Escape.

import { h } from "./dom";
import { iconButton } from "./button";

export interface Modal {
  open(): void;
  close(): void;
}

let count = 0;

// modal makes a dialog. done is called by its button; the dialog closes if it says so.
export function modal(title: string, body: HTMLElement[], button: string, done: () => Promise<boolean>, kind = "main"): Modal {
  const id = `dialog-${++count}`;
  const form = h("form", {
    method: "dialog", onsubmit: (e: SubmitEvent) => {
      e.preventDefault();
      void done().then((ok) => ok && dialog.close());
    },
  },
  h("header", { class: "head" }, h("h2", { id }, title), iconButton("close", "Close", () => dialog.close())),
  h("div", { class: "body" }, ...body),
  h("footer", {}, h("button", { type: "button", class: "soft", onclick: () => dialog.close() }, "Cancel"),
    h("button", { type: "submit", class: kind }, button)));
  const dialog = h("dialog", { class: "modal", "aria-labelledby": id, onclose: () => dialog.remove() }, form);
  return {
    open() {
      document.body.append(dialog);
      dialog.showModal();
    },
    close: () => dialog.close(),
  };
}
