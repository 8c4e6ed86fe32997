// The page of the test: stanza as its users use it, driven by commands of the test over a WebSocket.
import { createClient } from 'stanza';

let client, microphone, player, context, analyser;
const sessions = new Map(); // by sid
const control = new WebSocket(`ws://${location.host}/control`);
const tell = (event, more) => control.send(JSON.stringify({ event, ...more }));
const sleep = ms => new Promise(done => setTimeout(done, ms));

async function sound() {
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return await navigator.mediaDevices.getUserMedia({ audio: raw });
}

// listen plays a remote stream and looks at it. Chromium decodes nothing that no element plays.
function listen(stream) {
  player = new Audio();
  player.srcObject = stream;
  player.play();
  context = new AudioContext();
  analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  analyser.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(analyser);
}

// paint returns a track of pictures of one colour, in which something moves.
function paint({ color, width, height }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const c = canvas.getContext('2d');
  let n = 0;
  setInterval(() => {
    c.fillStyle = color;
    c.fillRect(0, 0, width, height);
    c.fillStyle = 'black';
    c.fillRect(n++ % 16, 0, 4, 4);
  }, 66);
  return canvas.captureStream().getTracks()[0];
}

let screens = []; // what is seen, one for each track

function watch(track) {
  const screen = Object.assign(document.createElement('video'), { muted: true, autoplay: true, srcObject: new MediaStream([track]) });
  screen.play();
  screens.push(screen);
}

// source returns the sound of the microphone, and pictures.
async function source(pictures) {
  const stream = await sound();
  for (const p of pictures || []) stream.addTrack(paint(p));
  return stream;
}

// content is what a file has that the browser sends: each byte is known by its place.
const content = size => Uint8Array.from({ length: size }, (_, i) => i ^ i >> 8);

async function hashOf(blob) {
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return [...sum].map(b => b.toString(16).padStart(2, '0')).join('');
}

const commands = {
  async login({ jid, password, url }) {
    client = createClient({
      jid, password, transports: { websocket: url, bosh: false }, jingle: { iceServers: [] },
    });
    client.on('jingle:incoming', s => tell('incoming', { sid: s.sid }));
    client.on('jingle:accepted', s => tell('accepted', { sid: s.sid }));
    client.on('jingle:ringing', s => tell('ringing', { sid: s.sid }));
    client.on('jingle:mute', (s, info) => tell('mute', { sid: s.sid, name: info.name }));
    client.on('jingle:unmute', (s, info) => tell('unmute', { sid: s.sid, name: info.name }));
    client.on('jingle:hold', s => tell('hold', { sid: s.sid }));
    client.on('jingle:resumed', s => tell('resumed', { sid: s.sid }));
    client.on('jingle:terminated', (s, reason) => tell('terminated', { sid: s.sid, reason: reason && reason.condition }));
    client.on('jingle:created', s => sessions.set(s.sid, s));
    client.jingle.on('connectionState', (s, state) => tell('connection', { sid: s.sid, state }));
    client.jingle.on('peerTrackAdded', (s, track, stream) => {
      tell('track', { sid: s.sid, kind: track.kind });
      if (track.kind === 'audio') listen(stream || new MediaStream([track]));
      else watch(track);
    });
    client.jingle.on('sentFile', s => tell('sent', { sid: s.sid }));
    client.jingle.on('receivedFile', async (s, blob, file) => tell('file', { sid: s.sid, name: file.name, what: await hashOf(blob) }));
    client.jingle.on('log:error', (...what) => tell('log', { what: what.map(w => w instanceof Error ? String(w) : w) }));
    client.on('raw:*', (direction, xml) => tell('stanza', { direction, xml: String(xml) }));
    const started = new Promise((done, failed) => {
      client.once('session:started', done);
      client.once('auth:failed', () => failed(new Error('login refused')));
    });
    client.connect();
    await started;
    client.updateCaps();
    client.sendPresence({ legacyCapabilities: client.disco.getCaps() });
    await client.getRoster();
    return client.jid;
  },
  async call({ to, sid, pictures }) {
    screens = [];
    microphone = await source(pictures);
    const s = client.jingle.createMediaSession(to, sid, microphone);
    await s.start({ offerToReceiveAudio: true });
    return s.sid;
  },
  async sendFile({ to, sid, name, size }) {
    const s = client.jingle.createFileTransferSession(to, sid);
    await s.start(new File([content(size)], name));
    return s.sid;
  },
  async acceptFile({ sid }) { await sessions.get(sid).accept(); },
  async ring({ sid }) { await sessions.get(sid).ring(); },
  async accept({ sid, pictures }) {
    microphone = await source(pictures);
    const s = sessions.get(sid);
    for (const track of microphone.getTracks()) s.addTrack(track, microphone);
    await s.accept();
  },
  async mute({ sid, on }) {
    for (const track of microphone.getTracks()) track.enabled = !on;
    const s = sessions.get(sid), name = s.pc.getTransceivers()[0].mid;
    if (on) s.mute('initiator', name); else s.unmute('initiator', name);
  },
  async forget() { screens = []; },
  async hold({ sid, on }) { if (on) sessions.get(sid).hold(); else sessions.get(sid).resume(); },
  async press({ sid, digits }) { sessions.get(sid).pc.getSenders()[0].dtmf.insertDTMF(digits, 100, 60); },
  async restart({ sid }) { await sessions.get(sid).restartIce(); },
  async end({ sid, reason }) {
    sessions.get(sid).end(reason);
    for (const track of microphone ? microphone.getTracks() : []) track.stop();
  },
  // hear returns the loudest frequency of what is played, each time that one is louder than noise, for so long.
  async hear({ ms }) {
    const heard = [], bins = new Float32Array(analyser.frequencyBinCount);
    for (const until = performance.now() + ms; performance.now() < until; await sleep(40)) {
      analyser.getFloatFrequencyData(bins);
      const width = context.sampleRate / analyser.fftSize;
      const peaks = [...bins.keys()].filter(i => bins[i] > -45 && bins[i] >= (bins[i - 1] ?? -999) && bins[i] >= (bins[i + 1] ?? -999));
      peaks.sort((a, b) => bins[b] - bins[a]);
      heard.push(peaks.slice(0, 2).map(i => Math.round(i * width)));
    }
    return heard;
  },
  // see returns of each screen its size and the colour in the middle, and what was counted of each video.
  async see({ sid }) {
    const out = { screens: [], received: [], sent: [] };
    for (const screen of screens) {
      const one = { width: screen.videoWidth, height: screen.videoHeight, color: [] };
      if (one.width) {
        const canvas = Object.assign(document.createElement('canvas'), { width: one.width, height: one.height });
        const c = canvas.getContext('2d');
        c.drawImage(screen, 0, 0);
        one.color = [...c.getImageData(one.width / 2, one.height / 2, 1, 1).data].slice(0, 3);
      }
      out.screens.push(one);
    }
    (await sessions.get(sid).pc.getStats()).forEach(r => {
      if (r.kind !== 'video') return;
      if (r.type === 'inbound-rtp') out.received.push({ packets: r.packetsReceived, decoded: r.framesDecoded, nacks: r.nackCount, plis: r.pliCount });
      if (r.type === 'outbound-rtp') out.sent.push({ frames: r.framesSent, nacks: r.nackCount, again: r.retransmittedPacketsSent });
    });
    return out;
  },
  async stats({ sid }) {
    const out = {};
    (await sessions.get(sid).pc.getStats()).forEach(r => {
      if (r.type === 'inbound-rtp' && r.kind === 'audio') {
        Object.assign(out, { received: r.packetsReceived, lost: r.packetsLost, energy: r.totalAudioEnergy, concealed: r.concealedSamples, samples: r.totalSamplesReceived });
      } else if (r.type === 'outbound-rtp' && r.kind === 'audio') {
        Object.assign(out, { sent: r.packetsSent });
      } else if (r.type === 'remote-inbound-rtp' && r.kind === 'audio') {
        Object.assign(out, { remoteLost: r.packetsLost, roundTrip: r.roundTripTime });
      } else if (r.type === 'transport') {
        Object.assign(out, { dtls: r.tlsVersion, cipher: r.srtpCipher, role: r.dtlsRole, ufrag: r.iceLocalUsernameFragment, pair: r.selectedCandidatePairId });
      }
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
window.onerror = (message, source, line) => tell('log', { what: [message, source, line] });
window.onunhandledrejection = e => tell('log', { what: [String(e.reason && e.reason.stack || JSON.stringify(e.reason) || e.reason)] });
