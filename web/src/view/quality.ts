// How good a call is, as a panel beside it.

import type { CallView } from "../state/state";
import { grade } from "../state/quality";
import { chart } from "./chart";
import { h, show, text } from "./dom";
import { rate } from "./format";

export interface Quality {
  element: HTMLElement;
  update(c: CallView): void;
}

export function quality(): Quality {
  const loss = chart("Loss", "loss", 5, (v) => `${v.toFixed(1)} %`);
  const trip = chart("Round trip", "trip", 100, (v) => (v > 0 ? `${v < 10 ? v.toFixed(1) : Math.round(v)} ms` : "–"));
  const bits = chart("Received", "bits", 64_000, rate);
  const word = h("span", { class: "grade" });
  const path = h("p", { class: "hint" });
  const element = h("aside", { class: "quality", "aria-label": "Quality of the call" },
    h("header", {}, h("h2", {}, "Quality"), word), bits.element, trip.element, loss.element, path);
  return {
    element,
    update(c) {
      loss.update(c.points.map((p) => p.loss));
      trip.update(c.points.map((p) => p.roundTrip));
      bits.update(c.points.map((p) => p.rate));
      text(word, grade(c.mos));
      show(word, c.mos > 0);
      text(path, [c.codec && c.codec.charAt(0).toUpperCase() + c.codec.slice(1), c.relayed ? "by a relay" : "directly from device to device"].filter(Boolean).join(", "));
      show(path, c.phase === "connected");
    },
  };
}
