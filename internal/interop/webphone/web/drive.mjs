// Two people and their phones. Each step is a test; see webphone_test.go.

import { browser, given, open, shot, step, until } from "./stage.mjs";

let alice, bob;
const bobs = `bob@${given.domain}`;

await step("both open their phones", async () => {
  [alice, bob] = await Promise.all([open(given.alice), open(given.bob)]);
  await alice.getByRole("button", { name: /Bob Miller/ }).waitFor();
  await shot(alice, "people");
});

await step("a person, and what they can do", async () => {
  await alice.getByRole("button", { name: /Bob Miller/ }).click();
  await alice.getByRole("heading", { name: "Bob Miller" }).waitFor();
  await shot(alice, "person-light");
  await alice.emulateMedia({ colorScheme: "dark" });
  await shot(alice, "person-dark");
});

await step("a video call", async () => {
  await alice.getByRole("button", { name: "Video", exact: true }).click();
  await bob.locator("dialog.incoming[open]").waitFor();
  await shot(bob, "incoming");
  await shot(alice, "calling");
  await bob.keyboard.press("Enter");
  await alice.locator('.call[data-phase="connected"]').waitFor();
  await bob.locator('.call[data-phase="connected"]').waitFor();
  await new Promise((d) => setTimeout(d, 6000));
  await shot(alice, "call-video");
  await shot(bob, "call-video-bob");
});

await step("nothing went wrong in the pages", async () => {
  const faults = [...alice.faults, ...bob.faults];
  if (faults.length) throw new Error(faults.join("\n"));
});
await browser.close();
