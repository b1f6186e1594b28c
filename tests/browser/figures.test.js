// SPDX-License-Identifier: Apache-2.0
// The figures on the page are those of the profile, to the last digit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { costs, open, percent, probe, profile, program, readData, readPprof, run, setUp, showAllRows, tableRows } from "./support.js";

const setting = setUp();
const exactNs = (value) => `${value.toLocaleString("en-US")} ns`;

test("a table equals the pprof file of the same profile", async () => {
  const [html, pprof] = probe(setting, "tree", "tree.html", "tree.pb.gz");
  const { page, faults, close } = await open(setting, html);
  await showAllRows(page);
  const rows = await tableRows(page);
  const { cpu } = readPprof(pprof);
  assert.equal(rows.length, Object.keys(cpu.functions).length);
  for (const { name, cells, exact } of rows) {
    const [self, total] = cpu.functions[name];
    assert.deepEqual(exact, [exactNs(self), exactNs(total)], name);
    assert.equal(cells[1], percent(self, cpu.sum), name);
    assert.equal(cells[3], percent(total, cpu.sum), name);
  }
  await page.selectOption("label:text-is('Profile') + select", "count");
  const { samples } = readPprof(pprof);
  for (const { name, cells } of await tableRows(page)) {
    assert.equal(cells[1], percent(samples.functions[name][0], samples.sum), name);
    assert.equal(cells[3], percent(samples.functions[name][1], samples.sum), name);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("the page of a real program tells what its profile holds", async () => {
  const file = profile(setting, "real.html", "python3", program("shares.py"), "2", "2");
  const { page, faults, close } = await open(setting, file);
  const [{ facts, samples }] = readData(file).runs;
  const { functions, sum } = costs(samples);
  assert.ok(Math.abs(sum / 1e9 - facts.cpu) < 1e-9, `${sum} ns, and ${facts.cpu} s in the facts`);
  assert.equal(
    samples.reduce((count, { values }) => count + values.count, 0),
    facts.samples,
  );
  await showAllRows(page);
  const rows = await tableRows(page);
  const seen = new Map();
  for (const { name, exact } of rows) seen.set(name, [...(seen.get(name) ?? []), exact]);
  for (const name of ["tokenize", "checksum", "Renderer.draw"]) {
    const { self, total } = functions.get(name);
    assert.deepEqual(seen.get(name), [[exactNs(self), exactNs(total)]], name);
  }
  const header = await page.textContent("header");
  for (const text of ["shares.py 2 2", facts.host, "CPython 3."]) assert.ok(header.includes(text), `${text} in ${header}`);
  const told = await page.textContent(".facts-section");
  for (const text of ["Samples", "the kernel counted", "Lost samples", "Without a name", "Pauses", "The agent itself"]) {
    assert.ok(told.includes(text), `${text} in ${told}`);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("a page needs no more than 400 KB without its data, and an hour of samples no more than 5 MB", () => {
  const [hour] = probe(setting, "hour", "hour.html");
  const [small] = probe(setting, "diff", "small.html");
  const size = (file) => Number(run("stat", "-c", "%s", file));
  assert.ok(size(small) < 400_000, `${size(small)} bytes`);
  assert.ok(size(hour) < 5_000_000, `${size(hour)} bytes`);
});
