// The browser's half of a call's media: one WebRTC connection to the daemon on this machine, which passes it on.

import { failureOf } from "../api/connect";
import { headers } from "../api/session";

const gatherPatience = 2000; // ms

export interface Tracks {
  audio: MediaStreamTrack | undefined;
  video: MediaStreamTrack | undefined;
  // Show the peer's video, also when we send none.
  seeVideo: boolean;
}

// Bridge lasts as long as the kinds of media stay the same; tracks can be replaced within.
export class Bridge {
  readonly remote = new MediaStream();
  private location = "";

  private constructor(readonly connection: RTCPeerConnection) {
    connection.addEventListener("track", (e) => {
      this.remote.addTrack(e.track);
    });
  }

  // open connects a call's media. An earlier bridge of the call ends in the daemon by it.
  static async open(account: string, sid: string, tracks: Tracks): Promise<Bridge> {
    // No server is asked: both ends are on this machine.
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const b = new Bridge(pc);
    try {
      pc.addTransceiver(tracks.audio ?? "audio", { direction: "sendrecv" });
      if (tracks.video || tracks.seeVideo) pc.addTransceiver(tracks.video ?? "video", { direction: "sendrecv" });
      await pc.setLocalDescription();
      await gathered(pc);
      const answer = await fetch(`/v1/calls/${encodeURIComponent(sid)}/webrtc?${new URLSearchParams({ account })}`, {
        method: "POST",
        headers: headers({ "Content-Type": "application/sdp" }),
        body: pc.localDescription?.sdp ?? "",
      });
      if (!answer.ok) throw await failureOf(answer);
      b.location = answer.headers.get("Location") ?? "";
      await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      return b;
    } catch (e) {
      pc.close();
      throw e;
    }
  }

  // replace sends another track of the same kind from now on; undefined sends nothing.
  async replace(kind: "audio" | "video", track: MediaStreamTrack | undefined): Promise<void> {
    await this.transceiver(kind)?.sender.replaceTrack(track ?? null);
  }

  // has reports whether the bridge carries this kind.
  has(kind: "audio" | "video"): boolean {
    return this.transceiver(kind) !== undefined;
  }

  private transceiver(kind: "audio" | "video"): RTCRtpTransceiver | undefined {
    return this.connection.getTransceivers().find((t) => t.receiver.track.kind === kind);
  }

  // close ends the bridge here and, unless the call has ended or another one has replaced it, in the daemon.
  close(tell: boolean): void {
    this.connection.close();
    if (tell && this.location) {
      void fetch(this.location, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => undefined);
    }
  }
}

// gathered waits until the offer is complete.
function gathered(pc: RTCPeerConnection): Promise<void> {
  return new Promise((done) => {
    const look = () => pc.iceGatheringState === "complete" && done();
    pc.addEventListener("icegatheringstatechange", look);
    setTimeout(done, gatherPatience);
    look();
  });
}
