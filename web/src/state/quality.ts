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
}

export const maxPoints = 60;

const num = (text: string | undefined): number => Number(text ?? 0);

// count reads the counters of all media.
export function count(stats: CallStats, at: number): Counters {
  const v = stats.video;
  return {
    at,
    received: num(stats.packetsReceived) + num(v?.packetsReceived),
    lost: num(stats.packetsLost) + num(v?.packetsLost),
    bytes: num(stats.bytesReceived) + num(v?.bytesReceived),
  };
}

// point is what has happened between two counts.
export function point(before: Counters, now: Counters, roundTrip: number): Point {
  const grown = (name: "received" | "lost" | "bytes") => Math.max(0, now[name] - before[name]);
  const all = grown("received") + grown("lost");
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  return {
    loss: all > 0 ? (100 * grown("lost")) / all : 0,
    roundTrip,
    rate: (8 * grown("bytes")) / seconds,
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
