// SPDX-License-Identifier: Apache-2.0
// Two runs on one page.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { announced, open, percent, probe, profile, program, readPprof, run, setUp, showAllRows, tableRows } from "./support.js";

const setting = setUp();

async function changes(page) {
  return Object.fromEntries((await tableRows(page)).map(({ name, cells }) => [name, cells.slice(0, 4)]));
}

// Whose change of self is shown as one that chance may have made.
const byChance = (page) =>
  page.$$eval(".functions-table tbody tr", (rows) =>
    rows.filter((row) => row.querySelector("td.change").classList.contains("chance")).map((row) => row.querySelector("button").textContent).sort(),
  );

test("functions by change: slower, faster, new and gone, by share and as they are", async () => {
  const [file] = probe(setting, "diff", "diff.html");
  const { page, faults, close } = await open(setting, file);
  assert.equal(await page.inputValue("label:text-is('Profile') + select"), "count");
  const shares = await changes(page);
  assert.deepEqual(shares.parse, ["40.00 %", "60.00 %", "+20.00 pp", "+50 %"]);
  assert.deepEqual(shares.render, ["30.00 %", "25.00 %", "−5.00 pp", "−17 %"]);
  assert.deepEqual(shares.old_cache, ["20.00 %", "0.00 %", "−20.00 pp", "gone"]);
  assert.deepEqual(shares.new_cache, ["0.00 %", "5.00 %", "+5.00 pp", "new"]);
  assert.deepEqual(shares.log, ["9.80 %", "9.70 %", "−0.10 pp", "−1 %"]);
  assert.deepEqual(shares.rare, ["0.20 %", "0.30 %", "+0.10 pp", "+50 %"]);
  assert.deepEqual(await byChance(page), ["log", "rare"]);
  // The largest first, then what may be chance, then what is the same: the callers have no code of their own.
  const order = Object.entries(shares).map(([name, [, , points]]) => (points === "0.00 pp" ? "same" : name));
  assert.deepEqual(order.slice(0, 4).sort(), ["new_cache", "old_cache", "parse", "render"]);
  assert.equal(order[0], "parse");
  assert.deepEqual(order.slice(4, 6).sort(), ["log", "rare"]);
  assert.ok(order.length > 6 && order.slice(6).every((name) => name === "same"), order.join());
  await page.selectOption("label:text-is('Compare') + select", "amounts");
  const amounts = await changes(page);
  assert.deepEqual(amounts.parse, ["800", "2,400", "+1,600", "+200 %"]);
  assert.deepEqual(amounts.log, ["196", "388", "+192", "+98 %"]);
  assert.deepEqual(await byChance(page), ["rare"]);
  assert.deepEqual(amounts.old_cache, ["400", "0", "−400", "gone"]);
  assert.deepEqual(faults, []);
  await close();
});

test("agent diff writes such a page of two real runs", async () => {
  const [first] = profile(setting, ["first.pb.gz"], "python3", program("shares.py"), "1");
  const [second] = profile(setting, ["second.pb.gz"], "python3", program("shares.py"), "1");
  const file = path.join(setting.folder, "real.html");
  run(process.env.AGENT_BINARY, "diff", first, second, "-o", file);
  const { page, faults, close } = await open(setting, file);
  const sides = [first, second].map((pprof) => readPprof(pprof).cpu);
  await showAllRows(page);
  const rows = await changes(page);
  for (const name of ["tokenize", "checksum"]) {
    assert.deepEqual(rows[name].slice(0, 2), sides.map(({ functions, sum }) => percent(functions[name]?.[0] ?? 0, sum)), name);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("frames are coloured by change, and spoken with it", async () => {
  const [file] = probe(setting, "diff", "diff.html");
  const { page, close } = await open(setting, file);
  assert.deepEqual(await page.locator(".legend .category").allTextContents(), ["gone", "less", "the same, or by chance", "more", "new"]);
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
