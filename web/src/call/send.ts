// Files that are sent from this page.

import { upload, type Upload } from "../api/upload";
import { newTransfer } from "../state/reduce";
import { state } from "../state/store";
import type { Person } from "../state/state";
import { say } from "../view/live";

const going = new Map<string, Upload>();
let count = 0;

// send brings files to the daemon, one after the other as they are, and from there to a person.
export async function send(p: Person, files: Iterable<File>): Promise<void> {
  for (const file of files) {
    say(`Sending ${file.name}`);
    await one(p, file);
  }
}

async function one(p: Person, file: File): Promise<void> {
  const s = state.value;
  const mine = `upload-${++count}`;
  const t = newTransfer(mine, { account: p.account, peer: p.jid, name: file.name, size: file.size, phase: "uploading" });
  s.transfers.set(mine, t);
  const began = performance.now();
  const u = upload(p.account, p.jid, file, (bytes) => {
    t.bytes = bytes;
    t.rate = bytes / Math.max(0.05, (performance.now() - began) / 1000);
    state.touch();
  });
  going.set(mine, u);
  state.touch();
  try {
    const sid = await u.sid;
    s.transfers.delete(mine);
    // Events of the transfer may have come before.
    s.transfers.set(sid, { ...t, bytes: 0, rate: 0, phase: "offered", ...s.transfers.get(sid), sid, name: file.name, size: file.size });
  } catch (e) {
    t.phase = "failed";
    t.text = e instanceof Error ? e.message : String(e);
  } finally {
    going.delete(mine);
    state.touch();
  }
}

// cancelUpload stops a file that has not reached the daemon yet.
export function cancelUpload(sid: string): boolean {
  const u = going.get(sid);
  u?.cancel();
  return u !== undefined;
}
