// What a person does with calls.

import * as api from "../api/phone";
import { key as keyTone } from "../media/tones";
import { Denied } from "../media/devices";
import { newCall } from "../state/reduce";
import { prefs } from "../state/prefs";
import { activeCall, isRinging, type CallView, type Person } from "../state/state";
import { state } from "../state/store";
import { say } from "../view/live";
import { complain } from "../view/toast";
import * as media from "./media";

// attempt does something and tells why it did not work.
export async function attempt(what: () => Promise<unknown>): Promise<boolean> {
  try {
    await what();
    return true;
  } catch (e) {
    complain(e instanceof Error ? e.message : String(e));
    return false;
  }
}

export async function call(p: Person, video: boolean): Promise<void> {
  if (activeCall(state.value)) {
    complain("There is a call already. End it first.");
    return;
  }
  await attempt(async () => {
    const got = await prepareOrWithout(video);
    let sid: string;
    try {
      sid = await api.startCall(p.account, p.jid, got.video !== undefined, prefs.value.relayOnly);
    } catch (e) {
      got.audio.stop();
      got.video?.stop();
      throw e;
    }
    const s = state.value;
    if (!s.calls.has(sid)) s.calls.set(sid, newCall(sid, { account: p.account, peer: p.jid, video }));
    state.touch();
    await connect(sid, p.account, got);
  });
}

// prepareOrWithout makes a voice call where there is no camera.
async function prepareOrWithout(video: boolean): Promise<Awaited<ReturnType<typeof media.prepare>>> {
  try {
    return await media.prepare(video);
  } catch (e) {
    if (!video || !(e instanceof Denied)) throw e;
    complain(e.message);
    return media.prepare(false);
  }
}

// connect joins the page to a call, and gives the call up if that does not work.
async function connect(sid: string, account: string, got: Awaited<ReturnType<typeof media.prepare>>): Promise<void> {
  try {
    await media.begin(account, sid, got);
  } catch (e) {
    media.end(sid);
    if (!state.value.calls.has(sid)) return; // it has ended meanwhile
    await api.endCall({ account, sid }).catch(() => undefined);
    throw e;
  }
}

export async function answer(c: CallView, video: boolean): Promise<void> {
  await attempt(async () => {
    const got = await prepareOrWithout(video);
    try {
      // Who calls with video is seen, also by those who leave their own camera off.
      await api.answerCall(c, c.video || got.video !== undefined, prefs.value.relayOnly);
    } catch (e) {
      got.audio.stop();
      got.video?.stop();
      throw e;
    }
    if (isRinging(c)) c.phase = "connecting"; // events may have told more already
    state.touch();
    await connect(c.sid, c.account, got);
  });
}

// join brings a call that goes on elsewhere, or went on before the page was loaded, into this page.
export async function join(c: CallView): Promise<void> {
  await attempt(async () => {
    const got = await media.prepare(false);
    await media.begin(c.account, c.sid, got);
  });
  if (c.muted) media.mute(true);
}

export async function hangUp(c: CallView, reason = ""): Promise<void> {
  await attempt(() => api.endCall(c, reason));
}

export async function mute(c: CallView, on: boolean): Promise<void> {
  media.mute(on); // at once, whatever the daemon says
  c.muted = on;
  state.touch();
  say(on ? "Microphone off" : "Microphone on");
  await attempt(() => api.control(c, { mute: on }));
}

export async function hold(c: CallView, on: boolean): Promise<void> {
  if (await attempt(() => api.control(c, { hold: on }))) {
    c.held = on;
    if (!on) say("The call goes on");
    state.touch();
  }
}

export async function show(picture: media.Picture): Promise<void> {
  const ok = await attempt(() => media.show(picture));
  if (ok) say({ none: "Camera off", camera: "Camera on", screen: "Your screen is shared" }[picture]);
}

let keys = Promise.resolve(true);

// press sends a key after those before it: two requests at once could overtake each other.
export async function press(c: CallView, digit: string): Promise<void> {
  keyTone(digit);
  keys = keys.then(() => attempt(() => api.dtmf(c, digit)));
  await keys;
}
