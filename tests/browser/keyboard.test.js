// SPDX-License-Identifier: Apache-2.0
// All of the page without a mouse.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { announced, open, probe, setUp, tableRows } from "./support.js";

const setting = setUp();
let file;
before(() => {
  [file] = probe(setting, "tree", "tree.html");
});

// What has the focus: how it is called, and whether one can see it.
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const label = element.labels?.[0]?.textContent ?? element.getAttribute("aria-label") ?? element.textContent;
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    return {
      tag: element.tagName,
      label: label.trim(),
      visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0 && box.height > 0,
    };
  });

async function tabTo(page, wanted) {
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press("Tab");
    if ((await focused(page)).label.startsWith(wanted)) return;
  }
  assert.fail(`Tab does not come to ${wanted}`);
}

test("Tab comes to everything in the order of the page, and shows where it is", async () => {
  const { page, close } = await open(setting, file);
  const labels = [];
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press("Tab");
    const { tag, label, visible } = await focused(page);
    if (tag === "BODY") break;
    assert.ok(visible, `${label} does not show that it has the focus`);
    labels.push(label);
  }
  const wanted = [
    "Dark colours", "Print", "Profile", "Process", "Thread", "From", "To", "Filter by name or file", "Copy table", "Table of functions", "Function",
    "Self", "Total", "Show 200 more", "Search", "Colour by", "Flame graph of all calls", "Keyboard",
  ];
  const found = wanted.map((label) => labels.findIndex((other) => other.startsWith(label)));
  assert.ok(!found.includes(-1), `${wanted[found.indexOf(-1)]} is not among ${labels.join(", ")}`);
  assert.deepEqual(found, [...found].sort((a, b) => a - b), labels.join(", "));
  await close();
});

test("sorting, filtering and choosing keep the focus", async () => {
  const { page, close } = await open(setting, file);
  await tabTo(page, "Thread");
  await page.keyboard.press("ArrowDown");
  assert.match(await page.textContent(".shown"), /of CPU time/);
  assert.match(await announced(page), /^Shown: /);
  await tabTo(page, "Show all");
  await page.keyboard.press("Enter");
  assert.notEqual((await focused(page)).tag, "BODY");
  await tabTo(page, "From");
  await page.keyboard.press("PageUp");
  assert.equal((await focused(page)).label, "From");
  assert.doesNotMatch(await page.textContent(".range-text"), /^all of/);
  await page.keyboard.press("Home");
  await tabTo(page, "Filter");
  await page.keyboard.type("package3");
  assert.ok((await tableRows(page)).every(({ name }) => name.includes("package3")));
  await tabTo(page, "Function");
  await page.keyboard.press("Enter");
  assert.equal((await focused(page)).label, "Function ▲");
  await close();
});

test("the flame graph is walked by arrows, and each frame is spoken with its share and path", async () => {
  const { page, faults, close } = await open(setting, file);
  await tabTo(page, "Flame graph of all calls");
  assert.match(await announced(page), /^all; total 100.00 %/);
  await page.keyboard.press("ArrowDown");
  assert.match(await announced(page), /^main; total 100.00 % \(.* s\); self .*; level 1; \d callees; path: all$/);
  await page.keyboard.press("ArrowDown");
  const [first] = (await announced(page)).split(";");
  await page.keyboard.press("ArrowRight");
  const [second] = (await announced(page)).split(";");
  assert.notEqual(first, second);
  await page.keyboard.press("ArrowDown");
  assert.ok((await announced(page)).endsWith(`path: all, main, ${second}`), await announced(page));
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  assert.ok((await announced(page)).startsWith(`Zoomed to ${second};`), await announced(page));
  assert.ok(await page.isVisible("text=Reset zoom"));
  await page.keyboard.press("Backspace");
  assert.ok((await announced(page)).startsWith("Zoomed to main;"), await announced(page));
  await page.keyboard.press("Escape");
  assert.equal(await announced(page), "All of it is shown");
  assert.ok(!(await page.isVisible("text=Reset zoom")));
  assert.deepEqual(faults, []);
  await close();
});

test("a search is walked by Enter and n, and C opens callers and callees", async () => {
  const { page, close } = await open(setting, file);
  await tabTo(page, "Search");
  await page.keyboard.type("function12");
  await page.keyboard.press("Enter");
  assert.match(await announced(page), /^package\d\.module\.function12/);
  const one = await announced(page);
  await tabTo(page, "Flame graph of all calls");
  await page.keyboard.press("n");
  assert.match(await announced(page), /^package\d\.module\.function12/);
  assert.notEqual(await announced(page), one);
  await page.keyboard.press("c");
  assert.match((await focused(page)).label, /^Callers and callees of package\d\.module\.function12/);
  await tabTo(page, "Back to all calls");
  await page.keyboard.press("Enter");
  assert.equal((await focused(page)).label, "Flame graph of all calls");
  await close();
});
