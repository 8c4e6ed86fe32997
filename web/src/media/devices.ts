// Cameras, microphones and speakers.

import { Signal } from "../state/signal";
import { prefs } from "../state/prefs";

export interface Devices {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

export const devices = new Signal<Devices>({ cameras: [], microphones: [], speakers: [] });

// refresh asks the browser. It tells names only once the user has allowed a microphone or a camera.
export async function refresh(): Promise<void> {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const of = (kind: MediaDeviceKind) => all.filter((d) => d.kind === kind && d.deviceId !== "");
  devices.value = { cameras: of("videoinput"), microphones: of("audioinput"), speakers: of("audiooutput") };
}

navigator.mediaDevices?.addEventListener?.("devicechange", () => void refresh());

// Denied says that the browser or the system gives no microphone or camera, in words for people.
export class Denied extends Error {}

// microphone opens the chosen microphone, with echo and noise taken away.
export async function microphone(): Promise<MediaStreamTrack> {
  const audio: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  if (prefs.value.microphone) audio.deviceId = { ideal: prefs.value.microphone };
  return open({ audio }, "microphone");
}

// camera opens the chosen camera.
export async function camera(): Promise<MediaStreamTrack> {
  const video: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  if (prefs.value.camera) video.deviceId = { ideal: prefs.value.camera };
  return open({ video }, "camera");
}

// screen lets the user choose what to share.
export async function screen(): Promise<MediaStreamTrack> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15 } } });
    const track = stream.getVideoTracks()[0];
    if (track) {
      track.contentHint = "detail";
      return track;
    }
  } catch (e) {
    throw denied(e, "screen");
  }
  throw new Denied("No screen was chosen.");
}

async function open(want: MediaStreamConstraints, what: string): Promise<MediaStreamTrack> {
  if (!navigator.mediaDevices) throw new Denied(`This browser gives no ${what}.`);
  try {
    const track = (await navigator.mediaDevices.getUserMedia(want)).getTracks()[0];
    void refresh();
    if (track) return track;
  } catch (e) {
    throw denied(e, what);
  }
  throw new Denied(`There is no ${what}.`);
}

function denied(e: unknown, what: string): Denied {
  const name = e instanceof DOMException ? e.name : "";
  switch (name) {
    case "NotAllowedError":
      return new Denied(what === "screen" ? "The screen is not shared." : `The browser may not use the ${what}. Allow it beside the address.`);
    case "NotFoundError":
      return new Denied(`No ${what} is connected.`);
    case "NotReadableError":
      return new Denied(`Another program uses the ${what}.`);
  }
  return new Denied(`The ${what} cannot be opened: ${e instanceof Error ? e.message : String(e)}`);
}
