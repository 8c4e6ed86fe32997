// Which part of the phone is looked at.

import { Signal } from "../state/signal";
import type { Person } from "../state/state";
import { state } from "../state/store";

export type Pane = "people" | "recents" | "files";

export const pane = new Signal<Pane>("people");

// stage is what stands beside the list; on a narrow page it is in front of it.
export type Stage = "none" | "person" | "call";

export const stage = new Signal<Stage>("none");

// open shows a person.
export function open(p: Person): void {
  state.value.selected = p;
  stage.value = "person";
  stage.touch();
  state.touch();
}

export function back(): void {
  stage.value = "none";
}
