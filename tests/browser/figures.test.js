// SPDX-License-Identifier: Apache-2.0
// The figures on the page are those of the profile, to the last digit.
import assert from "node:assert/strict";
import path from "node:path";
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

// Functions of a real program may share a name; those of its own do not.
const OWN = ["tokenize", "checksum", "Renderer.draw", "lookup.<locals>.probe"];

async function expectOwn(page, cpu) {
  await showAllRows(page);
  const rows = (await tableRows(page)).filter(({ name }) => OWN.includes(name));
  // On a machine that gives it little time not each has a sample.
  const wanted = OWN.filter((name) => name in cpu.functions);
  assert.ok(wanted.includes("tokenize"));
  assert.deepEqual(rows.map(({ name }) => name).sort(), wanted.sort());
  for (const { name, cells, exact } of rows) {
    const [self, total] = cpu.functions[name];
    assert.deepEqual(exact, [exactNs(self), exactNs(total)], name);
    assert.deepEqual([cells[1], cells[3]], [percent(self, cpu.sum), percent(total, cpu.sum)], name);
  }
}

test("the page of a real program tells what its pprof file holds", async () => {
  const [file, pprof] = profile(setting, ["real.html", "real.pb.gz"], "python3", program("shares.py"), "2", "2");
  const { cpu, samples } = readPprof(pprof);
  const [{ facts, samples: rows }] = readData(file).runs;
  assert.equal(costs(rows).sum, cpu.sum);
  assert.equal(Math.round(facts.cpu * 1e9), cpu.sum);
  assert.equal(facts.samples, samples.sum);
  const { page, faults, close } = await open(setting, file);
  await expectOwn(page, cpu);
  const header = await page.textContent("header");
  for (const text of ["shares.py 2 2", facts.host, "CPython 3."]) assert.ok(header.includes(text), `${text} in ${header}`);
  const told = await page.textContent(".facts-section");
  for (const text of ["Samples", "the kernel counted", "Lost samples", "Without a name", "Pauses", "The agent itself"]) {
    assert.ok(told.includes(text), `${text} in ${told}`);
  }
  assert.deepEqual(faults, []);
  await close();
  const again = path.join(setting.folder, "again.html");
  run(process.env.AGENT_BINARY, "report", pprof, "-o", again);
  const second = await open(setting, again);
  await expectOwn(second.page, cpu);
  assert.ok((await second.page.textContent("header")).includes("shares.py 2 2"));
  assert.deepEqual(second.faults, []);
  await second.close();
});

test("a page needs no more than 400 KB without its data, and an hour of samples no more than 5 MB", () => {
  const [hour] = probe(setting, "hour", "hour.html");
  const [small] = probe(setting, "diff", "small.html");
  const size = (file) => Number(run("stat", "-c", "%s", file));
  assert.ok(size(small) < 400_000, `${size(small)} bytes`);
  assert.ok(size(hour) < 5_000_000, `${size(hour)} bytes`);
});
