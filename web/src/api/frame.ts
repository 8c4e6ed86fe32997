// A frame of server-sent events.

import type { Event } from "./types";

// parse reads one frame; a comment is none.
export function parse(frame: string): Event | undefined {
  for (const line of frame.split("\n")) {
    if (line.startsWith("data:")) return JSON.parse(line.slice(5)) as Event;
  }
  return undefined;
}
