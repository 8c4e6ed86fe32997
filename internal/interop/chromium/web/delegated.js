// Commands for the script of examples/delegated-page, which stands before this one.
Object.assign(commands, {
  async host({ name, base, ...how }) {
    const e = new End(how);
    ends.set(name, e);
    e.host = new Host(base, {
      onIncoming: (sid, peer, video) => tell('incoming', { sid, name }),
      onTrack: (sid, track) => e.play(track),
      onState: (sid, state) => { e.state = state; },
    });
  },
  async call({ name, peer, video }) {
    const e = ends.get(name);
    e.call = await e.host.call(peer, [e.track('audio'), ...video ? [e.track('video')] : []]);
    e.pc = e.call.pc;
    return e.call.sid;
  },
  async answer({ name, sid, sound }) {
    const e = ends.get(name);
    e.call = await e.host.answer(sid, [e.track('audio'), ...sound ? [] : [e.track('video')]]);
    e.pc = e.call.pc;
  },
  async addVideo({ name }) {
    const e = ends.get(name);
    await e.call.addTracks([e.track('video')]);
  },
  async addVideoToBoth({ names }) { await Promise.all(names.map(name => commands.addVideo({ name }))); },
  async restart({ name }) { await ends.get(name).call.restart(); },
  async hangUp({ name }) { await ends.get(name).call.hangUp(); },
  // ufrags returns the ICE credentials that are in use, ours and the peer's.
  async ufrags({ name }) {
    const { pc } = ends.get(name);
    return [pc.localDescription, pc.remoteDescription].map(d => /a=ice-ufrag:(.*)/.exec(d.sdp)[1].trim()).concat(pc.signalingState, pc.connectionState);
  },
});
