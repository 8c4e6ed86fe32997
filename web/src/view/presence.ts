// How somebody's presence looks and reads.

import type { Abilities, Availability, Contact, Device } from "../api/types";
import { isOnline } from "../state/state";
import type { Icon } from "./icons";

const words: Record<string, string> = {
  AVAILABILITY_AVAILABLE: "Available",
  AVAILABILITY_CHAT: "Free to talk",
  AVAILABILITY_AWAY: "Away",
  AVAILABILITY_XA: "Away for long",
  AVAILABILITY_DND: "Do not disturb",
  AVAILABILITY_OFFLINE: "Offline",
};

export function presenceWords(a: Availability | undefined): string {
  return words[a ?? ""] ?? "Offline";
}

// presenceClass is the colour of the dot.
export function presenceClass(a: Availability | undefined): string {
  if (!isOnline(a)) return "offline";
  if (a === "AVAILABILITY_DND") return "busy";
  return a === "AVAILABILITY_AWAY" || a === "AVAILABILITY_XA" ? "away" : "online";
}

// presenceLine is what stands below a name.
export function presenceLine(c: Contact): string {
  if (c.status) return c.status;
  if (isOnline(c.availability)) return presenceWords(c.availability);
  if (c.asked) return "Has not answered your request yet";
  if (c.subscription === "SUBSCRIPTION_NONE" || c.subscription === "SUBSCRIPTION_FROM") return "Does not share presence";
  return "Offline";
}

export interface Ability {
  icon: Icon;
  words: string;
}

// abilityList is what somebody, or a device, can do.
export function abilityList(a: Abilities | undefined): Ability[] {
  const out: Ability[] = [];
  if (a?.audio) out.push({ icon: "phone", words: "Calls" });
  if (a?.video) out.push({ icon: "video", words: "Video" });
  if (a?.files) out.push({ icon: "file", words: "Files" });
  return out;
}

export function deviceIcon(d: Device): Icon {
  return ["phone", "handheld", "sms"].includes(d.clientType ?? "") ? "handset" : "monitor";
}

export function deviceName(d: Device): string {
  return d.client || d.jid.split("/").slice(1).join("/") || "A device";
}
