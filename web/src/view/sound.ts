// What is heard of a call: the peer, and the tones around it. It does not depend on which part of the page is shown.

import { live } from "../call/media";
import { goodbye, ring, ringback, Ringing } from "../media/tones";
import { prefs } from "../state/prefs";
import { activeCall, ringingCall } from "../state/state";
import { onEvent, state } from "../state/store";
import { h } from "./dom";

type Sink = HTMLAudioElement & { setSinkId?(id: string): Promise<void> };

export function sound(): HTMLAudioElement {
  const peer: Sink = h("audio", { autoplay: true, hidden: true });
  live.watch((l) => {
    const stream = l?.bridge?.remote ?? null;
    if (peer.srcObject === stream) return;
    peer.srcObject = stream;
    if (stream) void peer.play().catch(() => undefined);
  });
  prefs.watch((p) => void peer.setSinkId?.(p.speaker).catch(() => undefined));

  state.watch((s) => {
    const rings = ringingCall(s);
    if (rings && rings.sid !== silenced && !activeCall(s)) ring(ringing);
    else ringing.stop();
    const c = activeCall(s);
    if (c?.phase === "ringing" && live.value?.sid === c.sid) ringback(waiting);
    else waiting.stop();
  });
  onEvent((e) => {
    if (e.callEnded?.wasConnected) goodbye();
  });
  return peer;
}

const ringing = new Ringing();
const waiting = new Ringing();
let silenced = "";

// silence stops the ring of a call that goes on ringing over there.
export function silence(sid: string): void {
  silenced = sid;
  ringing.stop();
}
