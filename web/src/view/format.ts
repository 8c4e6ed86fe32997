// Numbers and times for people.

export function clock(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const rest = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

const units = ["B", "kB", "MB", "GB", "TB"];

export function size(bytes: number): string {
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) {
    bytes /= 1000;
    at++;
  }
  return `${bytes >= 100 || at === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[at]}`;
}

export function rate(bitsPerSecond: number): string {
  const k = bitsPerSecond / 1000;
  return k >= 1000 ? `${(k / 1000).toFixed(1)} Mbit/s` : `${Math.round(k)} kbit/s`;
}

// remaining is how long something still takes, roughly.
export function remaining(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min left`;
  return `${(seconds / 3600).toFixed(1)} h left`;
}

// when is a time as one would say it today.
export function when(iso: string | undefined, now = new Date()): string {
  const t = new Date(iso ?? "");
  if (Number.isNaN(t.getTime())) return "";
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const time = t.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (t.getTime() >= midnight) return time;
  if (t.getTime() >= midnight - 86_400_000) return `Yesterday ${time}`;
  if (t.getTime() >= midnight - 6 * 86_400_000) return `${t.toLocaleDateString([], { weekday: "short" })} ${time}`;
  return t.toLocaleDateString([], { day: "numeric", month: "short", year: t.getFullYear() === now.getFullYear() ? undefined : "numeric" });
}

// duration is the length of a conversation.
export function duration(seconds: number): string {
  if (seconds < 1) return "";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
