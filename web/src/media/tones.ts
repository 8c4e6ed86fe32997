// All sounds of the phone are made here: the ring, the tone that says that it rings over there, and keys.

import { prefs } from "../state/prefs";

let context: AudioContext | undefined;

// audio is made with the first sound; browsers let it be heard once the user has touched the page.
function audio(): AudioContext {
  context ??= new AudioContext();
  if (context.state === "suspended") void context.resume().catch(() => undefined);
  return context;
}

// wake is called by the first touch of the page, so that a later ring is heard.
export function wake(): void {
  audio();
}

// note plays one sound that fades, like a struck bell.
function note(at: number, hz: number, long: number, volume: number): void {
  const c = audio();
  const gain = c.createGain();
  gain.connect(c.destination);
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(volume, at + 0.015);
  gain.gain.exponentialRampToValueAtTime(0.0005, at + long);
  for (const [times, share] of [[1, 1], [2, 0.3], [3, 0.08]] as const) {
    const o = c.createOscillator();
    const part = c.createGain();
    part.gain.value = share;
    o.frequency.value = hz * times;
    o.connect(part).connect(gain);
    o.start(at);
    o.stop(at + long);
  }
}

// melody is what rings: two rising chimes, and a pause. Times in seconds.
const melody = [
  [0, 659.3], [0.18, 784], [0.36, 987.8], [0.9, 659.3], [1.08, 784], [1.26, 987.8],
] as const;
const every = 3.2;

// Ringing is a tone that repeats until it is stopped.
export class Ringing {
  private timer: ReturnType<typeof setInterval> | undefined;

  start(play: () => void, seconds: number): void {
    if (this.timer !== undefined) return;
    play();
    this.timer = setInterval(play, seconds * 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  get on(): boolean {
    return this.timer !== undefined;
  }
}

export function ring(r: Ringing): void {
  if (!prefs.value.ring) return;
  r.start(() => {
    const now = audio().currentTime + 0.02;
    for (const [at, hz] of melody) note(now + at, hz, 0.9, 0.28 * prefs.value.volume);
  }, every);
}

// ringback is heard while the other side rings: 425 Hz, as in most of Europe (ITU-T E.180).
export function ringback(r: Ringing): void {
  r.start(() => plain([425], 1, 0.06), 5);
}

// goodbye says that a call has ended.
export function goodbye(): void {
  const now = audio().currentTime + 0.02;
  note(now, 523.3, 0.35, 0.12);
  note(now + 0.14, 392, 0.5, 0.12);
}

const rows = [697, 770, 852, 941];
const columns = [1209, 1336, 1477, 1633];
const keys = ["123A", "456B", "789C", "*0#D"];

// key lets a key be heard here; the daemon sends it to the peer.
export function key(digit: string): void {
  const row = keys.findIndex((k) => k.includes(digit));
  const low = rows[row];
  const high = columns[keys[row]?.indexOf(digit) ?? -1];
  if (low && high) plain([low, high], 0.14, 0.07);
}

function plain(hz: number[], long: number, volume: number): void {
  const c = audio();
  const at = c.currentTime + 0.01;
  const gain = c.createGain();
  gain.connect(c.destination);
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(volume, at + 0.01);
  gain.gain.setValueAtTime(volume, at + long - 0.02);
  gain.gain.linearRampToValueAtTime(0, at + long);
  for (const f of hz) {
    const o = c.createOscillator();
    o.frequency.value = f;
    o.connect(gain);
    o.start(at);
    o.stop(at + long);
  }
}
