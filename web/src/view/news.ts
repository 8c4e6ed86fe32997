// What is told in words when it happens.

import { onEvent, state } from "../state/store";
import { reasonText } from "../state/reduce";
import { nameOf, type CallView } from "../state/state";
import type { Event } from "../api/types";
import { complain, tell } from "./toast";

// news begins to tell.
export function news(): void {
  onEvent((e) => {
    const who = nameOf(state.value, e.account ?? "", e.peer ?? "");
    if (e.callDtmfRefused) complain(e.callDtmfRefused.text || "The other side does not take keys.");
    if (e.transferOffered) tell(`${who} would like to send you ${e.transferOffered.name}`);
    const words = e.callEnded && endOf(e.callEnded, state.value.over.get(e.sid ?? ""), who);
    if (words) tell(words);
  });
}

// endOf is what is worth a word about the end of a call; most ends are plain to see.
export function endOf(end: NonNullable<Event["callEnded"]>, c: CallView | undefined, who: string): string {
  const { reason = "", byPeer = false } = end;
  if (end.successor || reason === "success") return "";
  if (c?.incoming && !end.wasConnected) return byPeer || reason === "timeout" ? `Missed call from ${who}` : "";
  if (!byPeer && reason === "cancel") return "";
  return `${who}: ${end.text || reasonText(reason, byPeer)}`;
}
