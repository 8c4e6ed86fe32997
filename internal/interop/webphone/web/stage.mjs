// What the steps share: browsers, their pages, and how to wait.

import { createRequire } from "node:module";
import { join } from "node:path";

let text = "";
for await (const chunk of process.stdin) text += chunk;
export const given = JSON.parse(text);

const load = createRequire(join(given.modules, "x.js"));
const { chromium } = load("playwright-core");
const axeSource = load("axe-core").source;

export const patience = 20_000;
const browsers = [];

// open shows one person's phone in a browser of their own. What it asks of other machines, and every error, is a fault.
export async function open(who) {
  const browser = await chromium.launch({
    executablePath: given.chromium,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--disable-default-apps", "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream=fps=12", `--use-file-for-fake-video-capture=${who.camera}`,
      "--autoplay-policy=no-user-gesture-required", "--auto-accept-this-tab-capture",
    ],
  });
  browsers.push(browser);
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.faults = [];
  page.on("pageerror", (e) => page.faults.push(`${who.user}: ${e.stack}`));
  page.on("console", (m) => {
    if (m.type() === "error") page.faults.push(`${who.user}: ${m.text()} ${m.location().url}`);
  });
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== new URL(who.url).origin) page.faults.push(`${who.user} asks ${r.url()}`);
  });
  await page.addInitScript(watchConnections);
  await page.goto(who.url);
  await live(page);
  return page;
}

export function live(page) {
  return page.locator('.app[data-link="live"]').waitFor();
}

export async function closeAll() {
  await Promise.all(browsers.map((b) => b.close()));
}

// watchConnections runs in the page before its own script.
function watchConnections() {
  window.connections = [];
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args);
      window.connections.push(this);
    }
  };
}

// received is what the newest connection of a page has got.
export function received(page) {
  return page.evaluate(async () => {
    const out = { frames: 0, width: 0, energy: 0, packets: 0 };
    for (const r of (await window.connections.at(-1)?.getStats())?.values() ?? []) {
      if (r.type !== "inbound-rtp") continue;
      if (r.kind === "video") {
        out.frames = r.framesDecoded ?? 0;
        out.width = r.frameWidth ?? 0;
      } else {
        out.energy = r.totalAudioEnergy ?? 0;
        out.packets = r.packetsReceived ?? 0;
      }
    }
    return out;
  });
}

// seesScreen reports whether the peer's picture is Chromium's fake screen, which is green; the cameras of the test are not.
export function seesScreen(page) {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 8;
    const context = canvas.getContext("2d");
    context.drawImage(document.querySelector("video.remote"), 0, 0, 8, 8);
    let [red, green, blue] = [0, 0, 0];
    const { data } = context.getImageData(0, 0, 8, 8);
    for (let at = 0; at < data.length; at += 4) {
      red += data[at];
      green += data[at + 1];
      blue += data[at + 2];
    }
    return green > 1.5 * red && green > 1.5 * blue;
  });
}

// grows waits until a figure of what a page receives has grown.
export async function grows(page, what, by) {
  const before = (await received(page))[what];
  await until(`${what} grows from ${before} by ${by}`, async () => {
    const now = (await received(page))[what];
    return now >= before + by || now;
  });
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// until asks again and again until the answer is true.
export async function until(what, is) {
  let last;
  for (const end = Date.now() + patience; Date.now() < end; await sleep(100)) {
    last = await is();
    if (last === true) return;
  }
  throw new Error(`${what}: ${JSON.stringify(last)}`);
}

export function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

export async function shot(page, name) {
  await page.screenshot({ path: join(given.shots, `${name}.png`) });
}

// accessible lets axe look at what is shown.
export async function accessible(page, name) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ["violations"] });
    return result.violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.map((n) => `${n.html} ${n.any.map((a) => a.message)}`).join("\n  ")}`);
  });
  if (found.length) throw new Error(`${name} is not accessible:\n${found.join("\n")}`);
}

let failed = false;

// step is one test. After one that has failed the others mean nothing.
export async function step(name, run) {
  if (failed) return;
  const began = Date.now();
  let error = "";
  let note = "";
  try {
    note = (await run()) ?? "";
  } catch (e) {
    failed = true;
    error = String(e.stack ?? e);
    const pages = browsers.flatMap((b) => b.contexts().flatMap((c) => c.pages()));
    for (const [n, p] of pages.entries()) {
      await shot(p, `failed-${n}`).catch(() => {});
      error += `\n${p.faults.join("\n")}`;
    }
  }
  console.log(JSON.stringify({ name, error, note: `${Date.now() - began} ms ${note}` }));
}
