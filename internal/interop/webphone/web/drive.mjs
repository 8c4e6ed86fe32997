// Two people and their phones. Each step is a test; see webphone_test.go.

import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { accessible, closeAll, equal, given, grows, live, open, received, seesScreen, shot, sleep, step, until } from "./stage.mjs";

let alice, bob;

const tap = (page, name) => page.getByRole("button", { name, exact: true }).click();
const connected = (page) => page.locator('.call[data-phase="connected"]').waitFor();
const phone = { width: 390, height: 780 };
const desk = { width: 1280, height: 800 };

await step("both open their phones", async () => {
  [alice, bob] = await Promise.all([open(given.alice), open(given.bob)]);
  await alice.getByRole("button", { name: /Bob Miller/ }).waitFor();
  equal(new URL(alice.url()).hash, "", "the token in the address");
  await accessible(alice, "the list of people");
});

await step("a person, and what they can do", async () => {
  await alice.getByRole("button", { name: /Bob Miller/ }).click();
  await alice.getByRole("heading", { name: "Bob Miller" }).waitFor();
  for (const what of ["Calls", "Video", "Files"]) await alice.locator(".devices .chip", { hasText: what }).waitFor();
  await alice.getByRole("button", { name: /Carol Diaz/ }).getByText("Back at three").waitFor();
  await accessible(alice, "a person");
  await shot(alice, "person-light");
});

await step("a video call, answered by the keyboard", async () => {
  await tap(alice, "Video");
  await bob.locator("dialog.incoming[open]").waitFor();
  await bob.getByRole("heading", { name: "Alice" }).waitFor();
  await alice.getByText("Ringing…").waitFor();
  await accessible(bob, "an incoming call");
  await shot(bob, "incoming-light");
  await shot(alice, "calling-light");
  await bob.keyboard.press("Enter");
  await Promise.all([connected(alice), connected(bob)]);
});

await step("both are seen and heard", async () => {
  await Promise.all([alice, bob].flatMap((p) => [grows(p, "frames", 12), grows(p, "packets", 50), grows(p, "energy", 0.0001)]));
  await Promise.all([alice, bob].map((p) => p.locator("video.remote:not([hidden])").waitFor()));
  await until("the chart has figures", async () => (await alice.locator(".chart.bits .figure").textContent()).endsWith("bit/s"));
  await accessible(alice, "a video call");
  return JSON.stringify(await received(alice));
});

await step("keys", async () => {
  await alice.locator(".call").getByRole("button", { name: "Keypad" }).click();
  await alice.keyboard.type("15#");
  equal(await alice.locator(".typed").textContent(), "15#", "the keys that are shown");
  await bob.getByText("Keys: 15#").waitFor();
  await accessible(alice, "the dial pad");
  await shot(alice, "keypad");
  await alice.locator(".call").getByRole("button", { name: "Keypad" }).click();
});

await step("mute", async () => {
  await tap(alice, "Mute");
  await bob.getByText("Alice is muted").waitFor();
  await until("the button", async () => (await alice.getByRole("button", { name: "Mute" }).getAttribute("aria-pressed")) === "true");
  await until("silence", async () => {
    const before = (await received(bob)).energy;
    await sleep(400);
    return (await received(bob)).energy - before < 1e-7;
  });
  await tap(alice, "Mute");
  await bob.getByText("Alice is muted").waitFor({ state: "hidden" });
  await grows(bob, "energy", 0.0001);
});

await step("hold", async () => {
  await tap(bob, "Hold");
  await alice.getByText("Bob Miller has put you on hold").waitFor();
  await bob.getByText("On hold").waitFor();
  await tap(bob, "Hold");
  await alice.getByText("Bob Miller has put you on hold").waitFor({ state: "hidden" });
  const before = (await received(alice)).frames;
  await grows(alice, "packets", 100); // two seconds of sound
  const moved = (await received(alice)).frames - before;
  if (moved < 5) throw new Error(`the picture stands still: ${moved} frames in two seconds`);
});

await step("the camera is turned off and on", async () => {
  await alice.locator("video.remote").waitFor();
  await tap(bob, "Camera");
  await alice.locator("video.remote").waitFor({ state: "hidden" });
  await tap(bob, "Camera");
  await alice.locator("video.remote").waitFor();
});

await step("the screen is shared", async () => {
  equal(await seesScreen(bob), false, "the screen before it is shared");
  await tap(alice, "Screen");
  await until("the screen", () => seesScreen(bob));
  await shot(alice, "screen");
  await tap(alice, "Camera");
  await until("the camera again", async () => !(await seesScreen(bob)));
});

await step("the page is loaded anew in a call", async () => {
  alice.on("dialog", (d) => d.accept());
  await alice.reload();
  await live(alice);
  await tap(alice, "Bring the call here");
  await Promise.all([grows(alice, "packets", 50), grows(bob, "packets", 50), grows(alice, "frames", 5)]);
  await alice.getByRole("button", { name: "Camera" }).click();
  await grows(bob, "frames", 5);
});

await step("looks of a video call", async () => {
  await alice.locator("video.remote").waitFor();
  await sleep(given.pretty ? 20_000 : 0);
  await shot(alice, "video-light");
  await bob.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await shot(bob, "video-dark");
  await bob.setViewportSize(phone);
  await shot(bob, "video-phone");
  await accessible(bob, "a video call on a phone");
  await bob.setViewportSize(desk);
});

await step("the call ends", async () => {
  await tap(alice, "Hang up");
  await Promise.all([alice, bob].map((p) => p.locator(".call").waitFor({ state: "hidden" })));
  await alice.locator(".person").getByText(/^Outgoing, /).waitFor();
  await bob.getByRole("button", { name: "Recents", exact: true }).click();
  await bob.getByText(/^Incoming, /).first().waitFor();
  await shot(bob, "recents-dark");
  await accessible(bob, "recent calls");
});

await step("a call without video, to which video is added", async () => {
  await alice.getByRole("button", { name: "Call", exact: true }).press("Enter");
  await bob.locator("dialog.incoming[open]").waitFor();
  await until("the focus is in the call", () => alice.evaluate(() => document.activeElement.closest(".call") !== null)); // Bob may know first
  await tap(bob, "Answer");
  await Promise.all([connected(alice), connected(bob)]);
  await grows(bob, "packets", 50);
  await sleep(given.pretty ? 15_000 : 0);
  await shot(alice, "voice-light");
  await tap(bob, "Camera");
  await alice.locator("video.remote").waitFor();
  await grows(alice, "frames", 5);
  await tap(bob, "Hang up");
  await alice.locator(".call").waitFor({ state: "hidden" });
});

await step("a call that is declined", async () => {
  await tap(alice, "Call");
  await bob.locator("dialog.incoming[open]").waitFor();
  await until("the bridge", () => alice.evaluate(() => window.connections.at(-1).connectionState === "connected"));
  for (let n = 0; n < 3; n++) await bob.keyboard.press("Escape"); // only makes it quiet
  equal(await bob.locator("dialog.incoming[open]").count(), 1, "the call that rings");
  await tap(bob, "Decline");
  await alice.locator(".call").waitFor({ state: "hidden" });
  await alice.locator(".toast", { hasText: "Bob Miller" }).waitFor();
});

const content = randomBytes(3_000_000);

await step("a file is dropped, accepted and received", async () => {
  const data = await alice.evaluateHandle((base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "../holiday <1>.jpg", { type: "image/jpeg" }));
    return transfer;
  }, content.toString("base64"));
  await alice.dispatchEvent(".person", "dragenter", { dataTransfer: data });
  await alice.getByText("Drop to send to Bob Miller").waitFor();
  await shot(alice, "drop");
  await alice.dispatchEvent(".person", "drop", { dataTransfer: data });
  await bob.getByRole("button", { name: /^Files/ }).click();
  await bob.getByRole("button", { name: "Accept", exact: true }).first().waitFor();
  await shot(bob, "offer-dark");
  await accessible(bob, "a file that is offered");
  await bob.getByRole("region", { name: "Files" }).getByRole("button", { name: "Accept", exact: true }).click();
  await bob.locator(".pane .card.done").waitFor();
  await alice.locator(".person .card.done").waitFor();
  const got = await readFile(join(given.bob.downloads, "holiday _1_.jpg"));
  equal(createHash("sha256").update(got).digest("hex"), createHash("sha256").update(content).digest("hex"), "the hash of the file");
  await shot(alice, "files-light");
});

await step("a transfer is paused and goes on", async () => {
  await alice.getByRole("button", { name: /Carol Diaz/ }).click();
  const large = randomBytes(given.large);
  await alice.locator('.person input[type="file"]').setInputFiles({ name: "large.bin", mimeType: "application/octet-stream", buffer: large });
  const card = alice.locator(".person .card", { hasText: "large.bin" });
  await card.getByRole("button", { name: "Pause large.bin" }).click();
  await card.getByText(/^Paused at/).waitFor();
  const line = await card.locator(".line").textContent();
  await shot(alice, "paused");
  await accessible(alice, "a transfer that is paused");
  equal(await card.locator(".line").textContent(), line, "how much is there after a while");
  await card.getByRole("button", { name: "Resume large.bin" }).click();
  await alice.locator(".person .card.done", { hasText: "large.bin" }).waitFor();
  const got = await readFile(join(given.carol, "large.bin"));
  equal(createHash("sha256").update(got).digest("hex"), createHash("sha256").update(large).digest("hex"), "the hash of the file");
  return line;
});

await step("settings", async () => {
  await tap(alice, "Settings");
  await alice.getByRole("radio", { name: "Dark" }).check({ force: true });
  equal(await alice.evaluate(() => document.documentElement.dataset.theme), "dark", "the theme");
  await accessible(alice, "the settings");
  await shot(alice, "settings-dark");
  await alice.keyboard.press("Escape");
});

await step("a narrow page", async () => {
  await alice.setViewportSize(phone);
  await shot(alice, "person-phone-dark");
  await tap(alice, "Back to the list");
  await shot(alice, "people-phone-dark");
  await accessible(alice, "a narrow page");
});

await step("the address works once", async () => {
  const again = await alice.context().browser().newContext();
  const page = await again.newPage();
  page.faults = [];
  await page.goto(given.alice.url);
  await page.getByRole("heading", { name: "The phone is locked" }).waitFor();
  await page.locator(".locked").getByText("This link was used before, or is too old.").waitFor();
  await accessible(page, "the locked page");
  await shot(page, "locked-light");
  await again.close();
});

await step("nothing went wrong in the pages, and they asked nobody else", async () => {
  equal([...alice.faults, ...bob.faults], [], "faults");
});

await closeAll();
