// The pages as a person uses them, in Chromium: with scripts and without, by keyboard, as somebody who may not see all.
// Run by tests/clients/pages.rs; the environment says where the server is. `tour` alone takes the pictures.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Registry, fill } from "./fill.mjs";
import { launch } from "./browsing.mjs";
import { aGuest, keyboard, ownPassword, refusals } from "./bounds.mjs";
import { aDay } from "./day.mjs";
import { removing } from "./removing.mjs";
import { lookAtAnswers, lookAtEveryPage, lookAtNothing, seen } from "./tour.mjs";

const { PAKHUIS_URL: url, PAKHUIS_USER: user, PAKHUIS_PASSWORD: password, PAKHUIS_PICTURES: directory } = process.env;
const browser = await launch();
const registry = new Registry(url, user, password);
const given = { url, user, password, directory, registry };

async function step(name, run) {
  const began = Date.now();
  await run();
  console.log(`${name}: ${Date.now() - began} ms`);
}

try {
  mkdirSync(directory, { recursive: true });
  await step("an empty registry", () => lookAtNothing(browser, given));
  await step("filled", () => fill(registry));
  for (const scripts of [true, false]) {
    const how = scripts ? "with scripts" : "without scripts";
    await step(`a day ${how}`, () => aDay(browser, given, scripts));
    await step(`removing ${how}`, () => removing(browser, given, scripts));
    await step(`a guest ${how}`, () => aGuest(browser, given, scripts));
  }
  // Another, then the first again.
  for (const scripts of [true, false]) await step(`own password ${scripts ? "with" : "without"} scripts`, () => ownPassword(browser, given, scripts));
  await step("refusals", () => refusals(browser, given));
  await step("keyboard", () => keyboard(browser, given));
  await step("every page", () => lookAtEveryPage(browser, given));
  await step("every answer", () => lookAtAnswers(browser, given));
  assert.deepEqual(seen.found, []);
  console.log(`axe: 0 violations on ${seen.pages} pages in 2 themes at 2 widths`);
} finally {
  await browser.close();
}
