// Somebody calls.

import { answer, hangUp } from "../call/actions";
import { prefs } from "../state/prefs";
import { bare, nameOf, ringingCall, type CallView, type State } from "../state/state";
import { state } from "../state/store";
import { avatar } from "./avatar";
import { h, show, text } from "./dom";
import { icon, type Icon } from "./icons";
import { sayAtOnce } from "./live";
import { silence } from "./sound";

export function incoming(): HTMLElement {
  const now = () => ringingCall(state.value);
  const act = (what: (c: CallView) => void) => () => {
    const c = now();
    if (c) what(c);
  };
  const face = avatar("huge");
  const name = h("h2", { id: "caller" });
  const kind = h("p", { id: "call-kind" });
  const address = h("p", { class: "address" });
  const button = (picture: Icon, words: string, look: string, click: () => void) =>
    h("button", { type: "button", class: `answer ${look}`, onclick: click }, h("span", { class: "face" }, icon(picture)), h("span", { class: "caption" }, words));
  const voice = button("phone", "Answer", "good", act((c) => void answer(c, false)));
  const video = button("video", "With video", "good", act((c) => void answer(c, true)));
  const decline = button("hangup", "Decline", "bad", act((c) => void hangUp(c)));
  const dialog = h("dialog", {
    class: "incoming", "aria-labelledby": "caller", "aria-describedby": "call-kind",
    // Escape makes it quiet; to decline somebody takes a decision.
    oncancel: (e: Event) => {
      e.preventDefault();
      act((c) => silence(c.sid))();
    },
    onkeydown: (e: KeyboardEvent) => {
      if (e.key !== "Escape") return;
      e.preventDefault();
      act((c) => silence(c.sid))();
    },
    // A browser may close it all the same, when asked often enough.
    onclose: () => ringingCall(state.value) && dialog.showModal(),
  }, h("span", { class: "halo" }, face.element), name, kind, address,
  h("div", { class: "choices" }, decline, video, voice), h("p", { class: "hint" }, "Enter answers, Escape silences"));

  let shown = "";
  let notice: Notification | undefined;
  state.watch((s: State) => {
    const c = ringingCall(s);
    if (!c) {
      shown = "";
      notice?.close();
      notice = undefined;
      if (dialog.open) dialog.close();
      return;
    }
    if (c.sid === shown) return;
    shown = c.sid;
    const called = nameOf(s, c.account, c.peer);
    const what = c.video ? "Video call" : "Call";
    face.update(called, bare(c.peer));
    text(name, called);
    text(kind, s.accounts.length > 1 ? `${what} to ${c.account}` : what);
    text(address, bare(c.peer));
    show(video, c.video);
    if (!dialog.open) dialog.showModal();
    (c.video ? video : voice).focus();
    sayAtOnce(`${what} from ${called}`);
    notice = notify(`${called} calls`, what);
  });
  return dialog;
}

// notify tells it outside of the page, if that was allowed and nobody looks at the page.
function notify(title: string, body: string): Notification | undefined {
  if (!prefs.value.notify || !document.hidden || !("Notification" in window) || Notification.permission !== "granted") return undefined;
  const n = new Notification(title, { body, icon: "/icon.svg", tag: "call", requireInteraction: true });
  n.onclick = () => window.focus();
  return n;
}
