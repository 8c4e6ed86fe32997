// The session with the daemon: half of it is a cookie that scripts cannot see, the other half is a key that only this
// origin has.

const storage = "jingle-phone-key";

export const keyHeader = "Jingle-Phone-Key";

let key = localStorage.getItem(storage) ?? "";

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return { ...more, [keyHeader]: key };
}

// enter trades the one-time token of the address for a session, and takes it out of the address. It says why, if that
// does not work.
export async function enter(): Promise<string | undefined> {
  const token = location.hash.slice(1);
  if (!token) return undefined;
  history.replaceState(null, "", location.pathname);
  const answer = await fetch("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  const said = (await answer.json()) as { key?: string; message?: string };
  if (!answer.ok || !said.key) return said.message ?? "The link does not work.";
  key = said.key;
  localStorage.setItem(storage, key);
  return undefined;
}

export function hasKey(): boolean {
  return key !== "";
}

// leave ends the session here and in the daemon.
export async function leave(): Promise<void> {
  await fetch("/session", { method: "DELETE", headers: headers() });
  key = "";
  localStorage.removeItem(storage);
}
