// The page of the tests in which a browser's own WebRTC is the media of calls.
'use strict';
const control = new WebSocket(`ws://${location.host}/control`);
const tell = (event, more) => control.send(JSON.stringify({ event, ...more }));
const sleep = ms => new Promise(done => setTimeout(done, ms));
const ends = new Map(); // by name
const context = new AudioContext();

// End is one side of a call: it says a tone and shows a colour.
class End {
  constructor({ hz, color, width, height }) {
    this.tone = new OscillatorNode(context, { frequency: hz });
    this.says = context.createMediaStreamDestination();
    const volume = new GainNode(context, { gain: 0.25 });
    this.tone.connect(volume).connect(this.says);
    this.tone.start();
    this.canvas = Object.assign(document.createElement('canvas'), { width, height });
    const paint = this.canvas.getContext('2d');
    let n = 0;
    this.painter = setInterval(() => {
      paint.fillStyle = color;
      paint.fillRect(0, 0, width, height);
      paint.fillStyle = 'black';
      paint.fillRect(n++ % 16, 0, 4, 4);
    }, 66);
    this.shows = this.canvas.captureStream();
    this.player = new Audio();
    this.screen = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
    this.analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    this.old = [];
  }

  track(kind) { return (kind === 'audio' ? this.says.stream : this.shows).getTracks()[0]; }

  play(track) {
    const stream = new MediaStream([track]);
    if (track.kind === 'video') {
      this.screen.srcObject = stream;
      this.screen.play();
      return;
    }
    this.player.srcObject = stream; // Chromium decodes nothing that no element plays
    this.player.play();
    context.createMediaStreamSource(stream).connect(this.analyser);
  }

  // connection makes a PeerConnection; sends and video say what is in it.
  connection({ sends = true, video = true }) {
    if (this.pc) this.old.push(this.pc);
    const pc = this.pc = new RTCPeerConnection();
    this.ended = false;
    pc.onconnectionstatechange = () => { this.state = pc.connectionState; };
    pc.ontrack = ({ track }) => this.play(track);
    const stream = new MediaStream();
    for (const kind of video ? ['audio', 'video'] : ['audio']) {
      if (sends) pc.addTransceiver(this.track(kind), { direction: 'sendrecv', streams: [stream] });
      else pc.addTransceiver(kind, { direction: 'recvonly' });
    }
    return pc;
  }

  async gathered() {
    const pc = this.pc;
    while (pc.iceGatheringState !== 'complete') await new Promise(done => pc.addEventListener('icegatheringstatechange', done, { once: true }));
    return pc.localDescription.sdp;
  }
}

const commands = {
  async end({ name, ...how }) { ends.set(name, new End(how)); },
  // attach posts an offer, and returns where the client is and what was told.
  async attach({ name, url, ...how }) {
    const e = ends.get(name), pc = e.connection(how);
    await pc.setLocalDescription();
    const offer = await e.gathered();
    const res = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
    const answer = await res.text();
    if (res.status !== 201) throw new Error(`${res.status} ${answer}`);
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    for (const old of e.old.splice(0)) setTimeout(() => old.close(), 1000);
    return { location: res.headers.get('Location'), offer, answer };
  },
  async detach({ location }) { return (await fetch(location, { method: 'DELETE' })).status; },
  async press({ name, digits }) { ends.get(name).pc.getSenders().find(s => s.dtmf).dtmf.insertDTMF(digits, 100, 60); },
  async mute({ name, on }) { for (const t of ends.get(name).says.stream.getTracks()) t.enabled = !on; },
  // hear returns the loudest frequency of what is played, each time that one is louder than noise, for so long.
  async hear({ name, ms }) {
    const { analyser } = ends.get(name), heard = [], bins = new Float32Array(analyser.frequencyBinCount);
    for (const until = performance.now() + ms; performance.now() < until; await sleep(40)) {
      analyser.getFloatFrequencyData(bins);
      const width = context.sampleRate / analyser.fftSize;
      const peaks = [...bins.keys()].filter(i => bins[i] > -55 && bins[i] >= (bins[i - 1] ?? -999) && bins[i] >= (bins[i + 1] ?? -999));
      peaks.sort((a, b) => bins[b] - bins[a]);
      heard.push(peaks.slice(0, 2).map(i => Math.round(i * width)));
    }
    return heard;
  },
  // see returns the colour in the middle of what is shown, its size, and how many frames were decoded.
  async see({ name }) {
    const { screen, pc, state } = ends.get(name), out = { state, width: screen.videoWidth, height: screen.videoHeight, color: [], decoded: 0, sent: 0 };
    if (screen.videoWidth) {
      const canvas = Object.assign(document.createElement('canvas'), { width: screen.videoWidth, height: screen.videoHeight });
      const c = canvas.getContext('2d');
      c.drawImage(screen, 0, 0);
      out.color = [...c.getImageData(screen.videoWidth / 2, screen.videoHeight / 2, 1, 1).data].slice(0, 3);
    }
    (await pc.getStats()).forEach(r => {
      if (r.type === 'inbound-rtp' && r.kind === 'video') Object.assign(out, { decoded: r.framesDecoded, codec: r.codecId });
      if (r.type === 'outbound-rtp' && r.kind === 'video') Object.assign(out, { sent: r.framesSent, pli: r.pliCount, target: r.targetBitrate });
    });
    return out;
  },
};

control.onmessage = async ({ data }) => {
  const { id, command, args } = JSON.parse(data);
  try {
    control.send(JSON.stringify({ id, result: await commands[command](args) ?? null }));
  } catch (e) {
    control.send(JSON.stringify({ id, error: String(e && e.stack || e) }));
  }
};
