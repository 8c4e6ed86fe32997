// The browser's half of a call's media: one WebRTC connection to the daemon on this machine, which passes it on.

import { failureOf } from "../api/connect";
import { headers } from "../api/session";
import { watchFrames } from "./frames";

const gatherPatience = 2000; // ms

export interface Tracks {
  audio: MediaStreamTrack;
  video: MediaStreamTrack | undefined;
}

export interface Listener {
  moved(): void; // pictures begin or stop to come
  failed(): void; // the connection is lost
}

// Bridge lasts as long as the kinds of media stay the same; tracks can be replaced within.
export class Bridge {
  readonly remote = new MediaStream();
  // moving says that the peer's pictures come in.
  moving = false;
  private location = "";
  private stopWatching: () => void;

  private constructor(readonly connection: RTCPeerConnection, on: Listener) {
    connection.addEventListener("track", (e) => {
      this.remote.addTrack(e.track);
    });
    connection.addEventListener("connectionstatechange", () => connection.connectionState === "failed" && on.failed());
    this.stopWatching = watchFrames(connection, (moving) => {
      this.moving = moving;
      on.moved();
    });
  }

  // open connects a call's media. An earlier bridge of the call ends in the daemon by it. dropVideo takes video out of the
  // call, of both sides.
  static async open(account: string, sid: string, tracks: Tracks, on: Listener, dropVideo = false): Promise<Bridge> {
    // No server is asked: both ends are on this machine.
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const b = new Bridge(pc, on);
    try {
      pc.addTransceiver(tracks.audio, { direction: "sendrecv" });
      // Who sends pictures adds video to the call; who does not still sees what the other side shows.
      if (tracks.video) pc.addTransceiver(tracks.video, { direction: "sendrecv" });
      else if (!dropVideo) pc.addTransceiver("video", { direction: "recvonly" });
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
      b.close(false);
      throw e;
    }
  }

  // replace sends another track of the same kind from now on; undefined sends nothing.
  async replace(kind: "audio" | "video", track: MediaStreamTrack | undefined): Promise<void> {
    await this.transceiver(kind)?.sender.replaceTrack(track ?? null);
  }

  // sendsVideo reports whether a picture can be sent without a new bridge.
  get sendsVideo(): boolean {
    return this.transceiver("video")?.direction === "sendrecv";
  }

  private transceiver(kind: "audio" | "video"): RTCRtpTransceiver | undefined {
    return this.connection.getTransceivers().find((t) => t.receiver.track.kind === kind);
  }

  // close ends the bridge here and, unless the call has ended or another one has replaced it, in the daemon.
  close(tell: boolean): void {
    this.stopWatching();
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
