// What the chart shows, made of the counters that the daemon tells each second.

import type { CallStats } from "../api/types";

export interface Counters {
  at: number; // ms
  received: number;
  lost: number;
  bytes: number;
}

export interface Point {
  loss: number; // percent
  roundTrip: number; // ms, 0 if not known
  rate: number; // bit/s, received
  counters: Counters;
}

export const maxPoints = 60;

const num = (text: string | undefined): number => Number(text ?? 0);

// next makes the point for new counters, given the one before it.
export function next(before: Point | undefined, stats: CallStats, at: number): Point {
  const v = stats.video;
  const counters: Counters = {
    at,
    received: num(stats.packetsReceived) + num(v?.packetsReceived),
    lost: num(stats.packetsLost) + num(v?.packetsLost),
    bytes: num(stats.bytesReceived) + num(v?.bytesReceived),
  };
  const from = before?.counters ?? { at: at - 1000, received: 0, lost: 0, bytes: 0 };
  const grown = (name: "received" | "lost" | "bytes") => Math.max(0, counters[name] - from[name]);
  const all = grown("received") + grown("lost");
  const seconds = Math.max(0.001, (at - from.at) / 1000);
  return {
    loss: all > 0 ? (100 * grown("lost")) / all : 0,
    roundTrip: stats.roundTripMs ?? 0,
    rate: (8 * grown("bytes")) / seconds,
    counters,
  };
}

// push adds a point and forgets those that are too old to be shown.
export function push(points: Point[], p: Point): Point[] {
  return [...points, p].slice(-maxPoints);
}

// grade puts the mean opinion score (ITU-T P.800) into a word.
export function grade(mos: number): string {
  if (mos <= 0) return "";
  if (mos >= 4) return "Excellent";
  if (mos >= 3.6) return "Good";
  if (mos >= 3.1) return "Fair";
  return "Poor";
}
