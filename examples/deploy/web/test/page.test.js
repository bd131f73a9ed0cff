/**
 * The page in headless Chromium, which comes with the npm package @sparticuz/chromium, or which CHROMIUM names.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

import { serve } from "./server.js";
import { HERE, assertEqualRuns, buildSite } from "./site.js";

const PATIENCE = 120_000; // milliseconds: training takes ten seconds on a free machine

/** @type {ReturnType<typeof buildSite>} */
let site;
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
/** @type {import("puppeteer-core").Browser} */
let browser;
/** @type {import("puppeteer-core").Page} */
let page;
/** @type {string[]} what went wrong in the page */
const faults = [];

before(async () => {
  site = buildSite();
  // The tests' own modules import the page's as `../page/…`.
  server = await serve({ "/page/": site.folder, "/test/": HERE, "/": site.folder });
  browser = await puppeteer.launch({
    args: [...chromium.args, "--no-sandbox"],
    executablePath: process.env.CHROMIUM ?? (await chromium.executablePath()),
    headless: "shell",
    defaultViewport: { width: 800, height: 1200 },
  });
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("requestfailed", (request) => faults.push(request.url()));
  await page.goto(`http://127.0.0.1:${server.port}/`);
  await page.waitForSelector("#train:not([disabled])");
});

after(async () => {
  await browser?.close();
  server?.close();
  site?.remove();
});

test("steps and logits in the browser equal those of the Python runtime", async () => {
  const found = await page.evaluate(async (reference) => {
    const { follow } = await import("/test/follow.js");
    const runtime = await import("/runtime/ort.wasm.bundle.min.mjs");
    return follow(runtime, async (file) => (await fetch(`/${file}`)).arrayBuffer(), reference);
  }, site.reference);
  assertEqualRuns(found, site.reference);
});

test("the button trains the network, with a curve", async () => {
  await page.click("#train");
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.startsWith("Trained"));
  assert.ok(Number.parseFloat(await text("#accuracy")) > 95, await text("#accuracy"));
  const points = await page.$eval("#chart .loss", (line) => line.getAttribute("points")?.trim().split(" "));
  assert.equal(points?.length, Number(await text("#step")));
});

test("a digit drawn with the mouse is recognised", async () => {
  await draw([0.25, 0.15], [0.75, 0.15], [0.45, 0.9]);
  await draw([0.35, 0.5], [0.75, 0.5]);
  await answered("7");
  await page.click("#clear");
  await answered("–");
  await draw([0.65, 0.1], [0.2, 0.65], [0.8, 0.65]);
  await draw([0.6, 0.4], [0.6, 0.9]);
  await answered("4");
});

test("nothing went wrong in the page", async () => {
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE, fullPage: true });
  assert.deepEqual(faults, []);
});

/** @param {string} expected */
async function answered(expected) {
  const shown = (/** @type {string} */ answer) => document.querySelector("#answer")?.textContent === answer;
  await page.waitForFunction(shown, { timeout: 10_000 }, expected);
}

/** @param {string} selector */
function text(selector) {
  return page.$eval(selector, (element) => element.textContent ?? "");
}

/** Draws a line through points given as shares of the field. */
async function draw(/** @type {number[][]} */ ...points) {
  const field = await (await page.$("#sketch"))?.boundingBox();
  assert.ok(field);
  const at = (/** @type {number[]} */ [x, y]) => [field.x + x * field.width, field.y + y * field.height];
  const [first, ...others] = points.map(at);
  await page.mouse.move(first[0], first[1]);
  await page.mouse.down();
  for (const [x, y] of others) await page.mouse.move(x, y, { steps: 12 });
  await page.mouse.up();
}
