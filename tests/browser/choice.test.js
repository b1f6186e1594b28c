// SPDX-License-Identifier: Apache-2.0
// Filter, search, zoom, callers and callees, threads, and a part of the run: each against sums of the page's own data.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { announced, costs, open, percent, probe, readData, setUp, showAllRows, tableRows } from "./support.js";

const setting = setUp();
let file;
let data;
before(() => {
  [file] = probe(setting, "tree", "tree.html");
  data = readData(file).runs[0];
});

async function expectTable(page, samples) {
  await showAllRows(page);
  const { functions, sum } = costs(samples);
  const rows = await tableRows(page);
  const used = [...functions].filter(([, { total }]) => total > 0);
  assert.equal(rows.length, used.length);
  for (const { name, cells } of rows) {
    assert.equal(cells[1], percent(functions.get(name).self, sum), name);
    assert.equal(cells[3], percent(functions.get(name).total, sum), name);
  }
}

// The frame that lies there, by what the tooltip says.
async function frameAt(page, x, row, box = page.locator(".flame-box:visible").first()) {
  await box.hover({ position: { x, y: row * 20 + 10 } });
  return page.locator(".tooltip:visible strong").textContent();
}

test("a filter shows what its text is in", async () => {
  const { page, close } = await open(setting, file);
  await showAllRows(page);
  await page.fill(".functions input", "FUNCTION12");
  await showAllRows(page);
  const names = (await tableRows(page)).map(({ name }) => name);
  const wanted = [...costs(data.samples).functions.keys()].filter((name) => name.includes("function12"));
  assert.deepEqual(names.sort(), wanted.sort());
  assert.match(await page.textContent(".functions .count"), new RegExp(`^${wanted.length} of `));
  await page.fill(".functions input", "no such function");
  assert.equal((await tableRows(page)).length, 0);
  await close();
});

test("columns sort both ways", async () => {
  const { page, close } = await open(setting, file);
  await showAllRows(page);
  const numbers = (rows, cell) => rows.map(({ cells }) => Number(cells[cell].replace(/[^\d.]/g, "")));
  const falls = (values) => values.every((value, i) => i === 0 || value <= values[i - 1]);
  assert.ok(falls(numbers(await tableRows(page), 0)));
  await page.click("[data-key=total]");
  assert.ok(falls(numbers(await tableRows(page), 2)));
  assert.equal(await page.getAttribute("th:has([data-key=total])", "aria-sort"), "descending");
  await page.click("[data-key=total]");
  assert.ok(falls(numbers(await tableRows(page), 2).reverse()));
  await page.click("[data-key=name]");
  const names = (await tableRows(page)).map(({ name }) => name.toLowerCase());
  assert.deepEqual(names, [...names].sort());
  await close();
});

test("a search tells how many frames match and what they cost, a match within a match once", async () => {
  const { page, close } = await open(setting, file);
  for (const wanted of ["function12", "package3", "module.function4"]) {
    await page.fill(".flame-section input[type=search]", wanted);
    const matching = data.samples.filter(({ stack }) => stack.some((name) => name.includes(wanted)));
    const { sum } = costs(data.samples);
    const cost = costs(matching).sum;
    const text = await page.textContent(".flame-section .count");
    assert.ok(text.endsWith(percent(cost, sum)), `${wanted}: ${text}, not ${percent(cost, sum)}`);
    const paths = new Set();
    for (const { stack, values } of data.samples) {
      if (values.cpu === 0) continue;
      stack.forEach((name, i) => name.includes(wanted) && paths.add(stack.slice(0, i + 1).join(";")));
    }
    assert.ok(text.startsWith(`${paths.size.toLocaleString("en-US")} frame`), `${wanted}: ${text}, not ${paths.size}`);
  }
  await page.fill(".flame-section input[type=search]", "no such function");
  assert.equal(await page.textContent(".flame-section .count"), "nothing found");
  await close();
});

test("a frame that is pressed takes the whole width, and Reset gives it back", async () => {
  const { page, faults, close } = await open(setting, file);
  const first = await frameAt(page, 100, 2);
  const other = await frameAt(page, 1200, 2);
  assert.notEqual(first, other);
  await page.locator(".flame-box").first().click({ position: { x: 100, y: 50 } });
  assert.equal(await frameAt(page, 1200, 2), first);
  assert.match(await page.textContent(".details h3"), new RegExp(first));
  assert.deepEqual(await page.locator(".path li").allTextContents(), ["main", first]);
  await page.click("text=Reset zoom");
  assert.equal(await frameAt(page, 1200, 2), other);
  assert.deepEqual(faults, []);
  await close();
});

test("callers and callees of a function", async () => {
  const { page, faults, close } = await open(setting, file);
  const name = await page.locator(".functions-table tbody button").nth(12).textContent();
  await page.locator(".functions-table tbody button").nth(12).click();
  assert.equal(await page.locator(".flame-section h3:visible").first().textContent(), `Callers and callees of ${name}`);
  const within = data.samples.filter(({ stack }) => stack.includes(name));
  const { functions, sum } = costs(data.samples);
  // What it calls: the stacks from its outermost call on.
  const below = costs(within.map((sample) => ({ ...sample, stack: sample.stack.slice(sample.stack.indexOf(name)) })));
  const [callers, callees] = [0, 1].map((i) => page.locator(".flame-box:visible").nth(i));
  await callees.focus();
  assert.ok((await announced(page)).includes(`total ${percent(functions.get(name).total, sum)}`), await announced(page));
  await page.keyboard.press("ArrowDown");
  const [callee] = (await announced(page)).split(";");
  const heaviest = Math.max(...[...below.functions].filter(([other]) => other !== name).map(([, { total }]) => total));
  assert.ok((await announced(page)).includes(percent(heaviest, sum)), `${callee}: ${await announced(page)}`);
  // Who calls it: the root of every stack is main.
  await callers.focus();
  for (let i = 0; i < 12; i++) await page.keyboard.press("ArrowUp");
  assert.match(await announced(page), /^main;/);
  await page.click("text=Back to all calls");
  assert.equal(await page.locator(".flame-box:visible").count(), 1);
  assert.deepEqual(faults, []);
  await close();
});

test("one thread", async () => {
  const { page, close } = await open(setting, file);
  const select = page.locator("label:text-is('Thread') + select");
  const labels = (await select.locator("option").allTextContents()).slice(1);
  assert.equal(labels.length, 4);
  const { threads } = readData(file).raw.runs[0];
  await select.selectOption({ label: labels[1] });
  const tid = Number(/\((\d+)\)$/.exec(labels[1])[1]);
  await expectTable(page, data.samples.filter(({ thread }) => threads.tid[thread] === tid));
  await page.click("text=Show all");
  await expectTable(page, data.samples);
  await close();
});

test("a part of the run, by the sliders and by drawing over the strip", async () => {
  const { page, close } = await open(setting, file);
  const [from, to] = ["From", "To"].map((label) => page.locator(`label:text-is('${label}') + input`));
  await from.fill("100");
  await to.fill("250");
  await expectTable(page, data.samples.filter(({ slice }) => slice >= 100 && slice < 250));
  assert.equal(await page.textContent(".range-text"), "10.0 s to 25.0 s");
  await page.locator(".strip canvas").scrollIntoViewIfNeeded();
  const box = await page.locator(".strip canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 20);
  await page.mouse.up();
  const [start, end] = [Number(await from.inputValue()), Number(await to.inputValue())];
  assert.ok(Math.abs(start - 300) < 3 && Math.abs(end - 450) < 3, `${start} to ${end}`);
  await expectTable(page, data.samples.filter(({ slice }) => slice >= start && slice < end));
  await close();
});

test("a table that is copied has all rows, those not shown too", async () => {
  const { page, close } = await open(setting, file, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.click("text=Copy table");
  const lines = (await page.evaluate(() => navigator.clipboard.readText())).split("\n");
  assert.deepEqual(lines[0].split("\t"), ["Function", "File", "Self", "Self share", "Total", "Total share"]);
  assert.equal(lines.length - 1, costs(data.samples).functions.size);
  await close();
});
