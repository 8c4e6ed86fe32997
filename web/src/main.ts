// The phone of jingled, in a browser of this machine.

import { enter, hasKey } from "./api/session";
import { wake } from "./media/tones";
import { refresh } from "./media/devices";
import { end } from "./call/media";
import { prefs } from "./state/prefs";
import { lock, onEvent, start, state } from "./state/store";
import { activeCall, ringingCall } from "./state/state";
import { news } from "./view/news";
import { shell } from "./view/shell";

prefs.watch((p) => {
  document.documentElement.dataset["theme"] = p.theme;
});
document.body.append(...shell());

news();
onEvent((e) => {
  if (e.callEnded) end(e.sid ?? "");
});
state.watch((s) => {
  document.title = ringingCall(s) ? "Incoming call" : activeCall(s) ? "In a call" : "Phone";
});
for (const first of ["pointerdown", "keydown"]) addEventListener(first, wake, { once: true });
addEventListener("beforeunload", (e) => {
  if (activeCall(state.value)) e.preventDefault();
});

async function begin(): Promise<void> {
  const trouble = await enter().catch(() => "The daemon does not answer.");
  if (!hasKey()) return lock(trouble ?? "Nobody is signed in here yet.");
  start();
  void refresh();
}

void begin();
