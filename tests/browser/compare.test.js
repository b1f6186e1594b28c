// SPDX-License-Identifier: Apache-2.0
// Two runs on one page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { announced, open, probe, setUp, tableRows } from "./support.js";

const setting = setUp();

async function changes(page) {
  return Object.fromEntries((await tableRows(page)).map(({ name, cells }) => [name, cells.slice(0, 4)]));
}

test("functions by change: slower, faster, new and gone, by share and as they are", async () => {
  const [file] = probe(setting, "diff", "diff.html");
  const { page, faults, close } = await open(setting, file);
  assert.equal(await page.inputValue("label:text-is('Profile') + select"), "count");
  const shares = await changes(page);
  assert.deepEqual(shares.parse, ["40.00 %", "60.00 %", "+20.00 pp", "+50 %"]);
  assert.deepEqual(shares.render, ["30.00 %", "25.00 %", "−5.00 pp", "−17 %"]);
  assert.deepEqual(shares.old_cache, ["20.00 %", "0.00 %", "−20.00 pp", "gone"]);
  assert.deepEqual(shares.new_cache, ["0.00 %", "5.00 %", "+5.00 pp", "new"]);
  assert.deepEqual(shares.log, ["10.00 %", "10.00 %", "0.00 pp", "0 %"]);
  await page.selectOption("label:text-is('Compare') + select", "amounts");
  const amounts = await changes(page);
  assert.deepEqual(amounts.parse, ["400", "1,200", "+800", "+200 %"]);
  assert.deepEqual(amounts.log, ["100", "200", "+100", "+100 %"]);
  assert.deepEqual(amounts.old_cache, ["200", "0", "−200", "gone"]);
  assert.deepEqual(faults, []);
  await close();
});

test("frames are coloured by change, and spoken with it", async () => {
  const [file] = probe(setting, "diff", "diff.html");
  const { page, close } = await open(setting, file);
  assert.deepEqual(await page.locator(".legend .category").allTextContents(), ["gone", "less", "the same share", "more", "new"]);
  const colorOf = (x) =>
    page.evaluate((at) => {
      const canvas = document.querySelector(".flame-box canvas");
      return [...canvas.getContext("2d").getImageData(at, 3 * 20 + 3, 1, 1).data.slice(0, 3)];
    }, x);
  const width = await page.evaluate(() => document.querySelector(".flame-box canvas").width);
  // From the left: parse (more), render (less), old_cache (gone), log (the same), new_cache (new).
  const box = page.locator(".flame-box").first();
  const places = {};
  for (let x = 20; x < width; x += 20) {
    await box.hover({ position: { x, y: 70 } });
    (places[await page.locator(".tooltip strong").textContent()] ??= []).push(x);
  }
  const colors = {};
  for (const [name, xs] of Object.entries(places)) colors[name] = await colorOf(xs[Math.floor(xs.length / 2)]);
  const [red, , blue] = [0, 1, 2].map((i) => (name) => colors[name][i]);
  assert.ok(red("parse") > blue("parse") && red("new_cache") > blue("new_cache"));
  assert.ok(blue("render") > red("render") && blue("old_cache") > red("old_cache"));
  assert.ok(blue("old_cache") - red("old_cache") > blue("render") - red("render"));
  assert.ok(Math.abs(red("log") - blue("log")) < 12);
  await box.focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowDown");
  assert.match(await announced(page), /^parse; before 40.00 % .*; after 60.00 % .*; change \+20.00 pp, \+50 %;/);
  await close();
});
