// The media of the call that this page is in: what is sent, and the bridge that carries it.

import { Bridge } from "../media/bridge";
import { camera, microphone, screen } from "../media/devices";
import { Signal } from "../state/signal";

export type Picture = "none" | "camera" | "screen";

// Live is the media of one call.
export interface Live {
  account: string;
  sid: string;
  picture: Picture;
  muted: boolean;
  audio: MediaStreamTrack;
  video: MediaStreamTrack | undefined;
  bridge: Bridge | undefined;
}

// live is the call whose sound and picture are in this page.
export const live = new Signal<Live | undefined>(undefined);

// prepare opens microphone and camera. It is done before anybody is disturbed.
export async function prepare(withCamera: boolean): Promise<Pick<Live, "audio" | "video" | "picture">> {
  const audio = await microphone();
  if (!withCamera) return { audio, video: undefined, picture: "none" };
  try {
    return { audio, video: await camera(), picture: "camera" };
  } catch (e) {
    audio.stop();
    throw e;
  }
}

// begin connects what was prepared to a call.
export async function begin(account: string, sid: string, got: Pick<Live, "audio" | "video" | "picture">): Promise<void> {
  const l: Live = { account, sid, ...got, muted: false, bridge: undefined };
  live.value = l;
  await connect(l);
}

// connect makes the bridge anew, with what is sent now.
async function connect(l: Live, dropVideo = false): Promise<void> {
  const before = l.bridge;
  const bridge = await Bridge.open(l.account, l.sid, { audio: l.audio, video: l.video }, {
    moved: () => live.touch(),
    // The daemon is on this machine: what was lost can be had again.
    failed: () => live.value === l && l.bridge === bridge && void connect(l).catch(() => undefined),
  }, dropVideo);
  if (live.value !== l) {
    bridge.close(true); // the call has ended meanwhile
    return;
  }
  l.bridge = bridge;
  before?.close(false);
  live.touch();
}

// show changes what is seen of us.
export async function show(picture: Picture): Promise<void> {
  const l = live.value;
  if (!l || l.picture === picture) return;
  const track = picture === "none" ? undefined : await (picture === "camera" ? camera() : screen());
  if (live.value !== l) {
    track?.stop();
    return;
  }
  l.video?.stop();
  l.video = track;
  l.picture = picture;
  // The user can end the sharing of a screen in the browser's own bar.
  track?.addEventListener("ended", () => l.video === track && void show("none"));
  live.touch();
  await carry(l);
}

// carry sends the picture that there is now. Without any on either side video leaves the call, so that nobody looks at an
// empty frame.
async function carry(l: Live): Promise<void> {
  if (!l.bridge) return; // it is being made, with what there is now
  if (l.video && !l.bridge.sendsVideo) await connect(l);
  else if (!l.video && l.bridge.sendsVideo && !l.bridge.moving) {
    await connect(l, true);
    await connect(l);
  } else await l.bridge.replace("video", l.video);
  live.touch();
}

// useMicrophone and useCamera change to the device that is chosen in the settings.
export async function useMicrophone(): Promise<void> {
  const l = live.value;
  if (!l) return;
  const track = await microphone();
  track.enabled = !l.muted;
  l.audio.stop();
  l.audio = track;
  await l.bridge?.replace("audio", track);
}

export async function useCamera(): Promise<void> {
  const l = live.value;
  if (l?.picture !== "camera") return;
  const track = await camera();
  l.video?.stop();
  l.video = track;
  await l.bridge?.replace("video", track);
  live.touch();
}

// mute lets nothing of the microphone out of the page.
export function mute(on: boolean): void {
  const l = live.value;
  if (!l) return;
  l.muted = on;
  l.audio.enabled = !on;
  live.touch();
}

// end gives everything back.
export function end(sid: string): void {
  const l = live.value;
  if (!l || l.sid !== sid) return;
  live.value = undefined;
  l.audio.stop();
  l.video?.stop();
  l.bridge?.close(false);
}
