// A line that moves: one of the figures of a call over the last minute.

import { maxPoints } from "../state/quality";
import { h, text } from "./dom";

const ns = "http://www.w3.org/2000/svg";
const width = 240;
const height = 48;

export interface Chart {
  element: HTMLElement;
  update(values: number[]): void;
}

// chart shows values from 0 to at least top. words puts one of them into text, which is what screen readers get.
export function chart(name: string, kind: string, top: number, words: (value: number) => string): Chart {
  const value = h("span", { class: "figure" });
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const area = document.createElementNS(ns, "path");
  area.setAttribute("class", "area");
  const line = document.createElementNS(ns, "path");
  line.setAttribute("class", "line");
  svg.append(area, line);
  const element = h("figure", { class: `chart ${kind}` }, h("figcaption", {}, h("span", {}, name), value), svg);
  return {
    element,
    update(values) {
      const last = values.at(-1);
      text(value, last === undefined ? "–" : words(last));
      const path = pathOf(values, Math.max(top, ...values));
      line.setAttribute("d", path);
      area.setAttribute("d", path && `${path} L${width} ${height} L${xOf(0, values.length)} ${height} Z`);
    },
  };
}

function xOf(at: number, count: number): number {
  return width - ((count - 1 - at) * width) / (maxPoints - 1);
}

// pathOf goes through all values, the newest at the right edge.
export function pathOf(values: number[], top: number): string {
  if (values.length < 2) return "";
  return values.map((v, at) => {
    const y = height - 2 - ((height - 6) * Math.min(v, top)) / top;
    return `${at === 0 ? "M" : "L"}${xOf(at, values.length).toFixed(1)} ${y.toFixed(1)}`;
  }).join(" ");
}
