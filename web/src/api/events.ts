// The stream of events. It is read by fetch: an EventSource cannot send the key.

import { failureOf } from "./connect";
import { parse } from "./frame";
import { headers } from "./session";
import type { Event } from "./types";

export interface Watcher {
  event(e: Event): void;
  // lost says that the stream broke off and will be opened anew; locked, that the session is not good any more.
  lost(): void;
  locked(): void;
}

// watch keeps a stream open for as long as the page lives. Each one begins with a hello.
export async function watch(w: Watcher): Promise<void> {
  let wait = firstWait;
  for (;;) {
    try {
      const answer = await fetch("/v1/events", { headers: headers({ Accept: "text/event-stream" }) });
      if (answer.status === 401) return w.locked();
      if (!answer.ok || !answer.body) throw await failureOf(answer);
      await read(answer.body, (e) => {
        wait = firstWait;
        w.event(e);
      });
    } catch {
      // The daemon is gone, or restarts.
    }
    w.lost();
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, longestWait);
  }
}

const firstWait = 250;
const longestWait = 5000;

async function read(body: ReadableStream<Uint8Array<ArrayBuffer>>, each: (e: Event) => void): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const e = parse(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (e) each(e);
    }
  }
}
