// Whether a picture comes in: clients do not say that a camera was turned off, they stop sending.

const every = 1000; // ms
const patience = 3; // looks without a frame; a screen that does not change still sends one now and then

// watchFrames calls back when pictures begin and when they stop. It ends with the returned function.
export function watchFrames(pc: RTCPeerConnection, changed: (moving: boolean) => void): () => void {
  let frames = 0;
  let without = patience;
  let moving = false;
  const look = async () => {
    const now = await decoded(pc);
    without = now > frames ? 0 : without + 1;
    frames = now;
    if (moving !== without < patience) {
      moving = !moving;
      changed(moving);
    }
  };
  const timer = setInterval(() => void look().catch(() => undefined), every);
  pc.addEventListener("connectionstatechange", () => pc.connectionState === "connected" && setTimeout(() => void look(), 300));
  return () => clearInterval(timer);
}

async function decoded(pc: RTCPeerConnection): Promise<number> {
  let n = 0;
  for (const report of (await pc.getStats()).values() as Iterable<{ type: string; kind?: string; framesDecoded?: number }>) {
    if (report.type === "inbound-rtp" && report.kind === "video") n += report.framesDecoded ?? 0;
  }
  return n;
}
