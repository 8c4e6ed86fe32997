// Files that are dropped on the page go to the person that is shown, or that one is in a call with.

import { send } from "../call/send";
import { activeCall, nameOf, type Person } from "../state/state";
import { state } from "../state/store";
import { h, show, text } from "./dom";
import { icon } from "./icons";
import { stage } from "./route";
import { complain } from "./toast";

export function drops(): HTMLElement {
  const words = h("p", {});
  const veil = h("div", { class: "veil", hidden: true }, h("div", {}, icon("file"), words));
  let depth = 0;
  const carries = (e: DragEvent) => e.dataTransfer?.types.includes("Files") ?? false;
  const over = (on: boolean) => {
    const p = target();
    text(words, p ? `Drop to send to ${nameOf(state.value, p.account, p.jid)}` : "Open a person first, then drop");
    show(veil, on);
  };
  addEventListener("dragenter", (e) => {
    if (!carries(e)) return;
    e.preventDefault();
    if (++depth === 1) over(true);
  });
  addEventListener("dragover", (e) => {
    if (carries(e)) e.preventDefault();
  });
  addEventListener("dragleave", (e) => {
    if (carries(e) && --depth <= 0) over(false);
  });
  addEventListener("drop", (e) => {
    depth = 0;
    over(false);
    if (!carries(e)) return;
    e.preventDefault();
    const p = target();
    if (p) void send(p, [...(e.dataTransfer?.files ?? [])]);
    else complain("Open the person who is to get the files, then drop them.");
  });
  return veil;
}

function target(): Person | undefined {
  const c = activeCall(state.value);
  if (stage.value === "call" && c) return { account: c.account, jid: c.peer };
  return stage.value === "person" ? state.value.selected : undefined;
}
