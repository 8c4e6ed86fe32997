'use strict';
// Calls of a jingled whose media is this page's own: RTCPeerConnection here, Jingle there. docs/embedding.md has the contract.

// Host is a page's end of one jingled, whose API is below base.
class Host {
  constructor(base, { onIncoming, onTrack, onState }) {
    Object.assign(this, { base, onIncoming, onTrack, onState, calls: new Map() });
    const events = new EventSource(`${base}/v1/events`);
    const on = (name, f) => events.addEventListener(name, e => f(JSON.parse(e.data)));
    on('call_incoming', e => this.onIncoming(e.sid, e.peer, e.callIncoming.video));
    on('call_accepted', e => this.calls.get(e.sid)?.onState('connecting'));
    on('call_description', e => this.calls.get(e.sid)?.described(e.callDescription));
    on('call_candidates', e => this.calls.get(e.sid)?.candidates(e.callCandidates));
    on('call_ended', e => {
      this.calls.get(e.sid)?.close();
      this.calls.delete(e.sid);
      this.onState(e.sid, 'ended', e.callEnded);
    });
  }

  async rpc(method, body) {
    const res = await fetch(`${this.base}/jingled.v1.${method}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    const answer = await res.json();
    if (!res.ok) throw new Error(`${method}: ${answer.message}`);
    return answer;
  }

  // call calls somebody, sending these tracks.
  async call(peer, tracks) {
    const servers = await this.servers();
    const video = tracks.some(t => t.kind === 'video');
    const { sid } = await this.rpc('CallService/StartCall', { peer, media: { delegated: true, video } });
    const c = new HostedCall(this, sid, servers);
    c.add(tracks);
    await c.offer();
    return c;
  }

  // answer takes a call; the offer comes as an event.
  async answer(sid, tracks) {
    const c = new HostedCall(this, sid, await this.servers());
    c.pending = tracks;
    await this.rpc('CallService/AnswerCall', { sid, media: { delegated: true } });
    return c;
  }

  async servers() {
    return (await this.rpc('DelegatedMediaService/GetIceServers', {})).servers ?? [];
  }
}

// HostedCall is one call.
class HostedCall {
  constructor(host, sid, iceServers) {
    Object.assign(this, { host, sid, work: Promise.resolve(), pending: [] });
    host.calls.set(sid, this);
    const pc = this.pc = new RTCPeerConnection({ iceServers });
    pc.onicecandidate = ({ candidate: c }) => {
      if (c?.candidate) this.tell('AddCandidates', { mid: c.sdpMid, candidates: [c.candidate] }).catch(() => {});
    };
    pc.ontrack = ({ track }) => host.onTrack(sid, track);
    pc.onconnectionstatechange = () => {
      this.onState(pc.connectionState);
      if (pc.connectionState === 'connected') this.tell('SetConnected', {}).catch(() => {});
    };
  }

  onState(state) { this.host.onState(this.sid, state); }
  tell(method, body) { return this.host.rpc(`DelegatedMediaService/${method}`, { sid: this.sid, ...body }); }
  close() { this.pc.close(); }

  // inTurn does one thing with descriptions after another.
  inTurn(f) {
    const done = this.work.then(f);
    this.work = done.catch(e => console.error(this.sid, e));
    return done;
  }

  add(tracks) {
    const stream = new MediaStream(tracks);
    for (const t of tracks) this.pc.addTrack(t, stream);
  }

  // offer tells the peer what is new here: media that was added or dropped, or a restart of ICE.
  offer(options) {
    return this.inTurn(async () => {
      const { pc } = this;
      await pc.setLocalDescription(await pc.createOffer(options));
      try {
        await this.tell('SetDescription', { type: 'offer', sdp: pc.localDescription.sdp });
      } catch (e) {
        if (!pc.remoteDescription) throw e;
        // The peer was quicker: its offer comes first, ours again after it.
        await pc.setLocalDescription({ type: 'rollback' });
        this.again = options ?? {};
      }
    });
  }

  addTracks(tracks) {
    this.add(tracks);
    return this.offer();
  }

  restart() { return this.offer({ iceRestart: true }); }
  hangUp() { return this.host.rpc('CallService/EndCall', { sid: this.sid }); }

  described({ type, sdp }) {
    return this.inTurn(async () => {
      const { pc } = this;
      if (type === 'rollback') return await pc.setLocalDescription({ type });
      await pc.setRemoteDescription({ type, sdp });
      if (type === 'answer') return;
      this.add(this.pending.splice(0));
      await pc.setLocalDescription();
      await this.tell('SetDescription', { type: 'answer', sdp: pc.localDescription.sdp });
      const again = this.again;
      this.again = undefined;
      if (again) this.offer(again);
    });
  }

  candidates({ mid, candidates }) {
    return this.inTurn(async () => {
      for (const candidate of candidates) await this.pc.addIceCandidate({ candidate, sdpMid: mid });
    });
  }
}
