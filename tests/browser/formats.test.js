// SPDX-License-Identifier: Apache-2.0
// Files for other tools are what those say that they read.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import { probe, profile, program, run, schemaFaults, setUp, speedscopeSchema } from "./support.js";

const setting = setUp();
const agent = process.env.AGENT_BINARY;
const parse = (file) => JSON.parse(readFileSync(file, "utf8"));

// Of a real program with threads, and of the probe's trees: from the run itself and by `agent report`.
const files = { speedscope: [], gecko: [] };
before(() => {
  const names = ["real.speedscope.json", "real.gecko.json", "real.pb.gz"];
  const real = profile(setting, names, "python3", program("shares.py"), "1", "2");
  const [, tree] = probe(setting, "tree", "tree.html", "tree.pb.gz");
  for (const [index, kind] of Object.keys(files).entries()) {
    files[kind].push(real[index]);
    for (const source of [real[2], tree]) {
      const file = path.join(setting.folder, `${path.basename(source)}.${kind}.json`);
      run(agent, "report", source, "-o", file);
      files[kind].push(file);
    }
  }
});

test("speedscope's files hold to its published schema", () => {
  const schema = speedscopeSchema();
  for (const file of files.speedscope) {
    const data = parse(file);
    assert.equal(schemaFaults(schema, data), null, file);
    assert.ok(data.profiles.length > 0);
    for (const { type, samples, weights, startValue, endValue } of data.profiles) {
      // What the schema cannot say.
      assert.equal(type, "sampled");
      assert.equal(samples.length, weights.length);
      for (const frame of samples.flat()) assert.ok(Number.isInteger(frame) && frame < data.shared.frames.length);
      assert.ok(endValue >= startValue);
    }
  }
  // A schema that takes anything would prove nothing.
  const broken = parse(files.speedscope[0]);
  delete broken.shared.frames[0].name;
  assert.match(schemaFaults(schema, broken), /name/);
});

// There is no published schema of the Gecko format, only types: src/types/gecko-profile.ts of firefox-devtools/profiler.
// These are their rules for what we write.
const number = { type: "number" };
const index = { type: "integer", minimum: 0 };
const orNull = (schema) => ({ anyOf: [schema, { type: "null" }] });
const object = (properties) => ({ type: "object", properties, required: Object.keys(properties) });
const columns = (...names) => ({ const: Object.fromEntries(names.map((name, i) => [name, i])) });
const tuple = (...items) => ({ type: "array", items, minItems: items.length, maxItems: items.length });
const table = (names, ...items) => object({ schema: columns(...names), data: { type: "array", items: tuple(...items) } });
const flag = { enum: [0, 1] };
const GECKO = object({
  meta: object({
    version: { const: 24 },
    startTime: number,
    shutdownTime: orNull(number),
    interval: { type: "number", exclusiveMinimum: 0 },
    stackwalk: flag,
    debug: flag,
    gcpoison: flag,
    asyncstack: flag,
    processType: number,
    presymbolicated: { const: true },
    product: { type: "string" },
    sampleUnits: { const: { time: "ms", eventDelay: "ms", threadCPUDelta: "ns" } },
    categories: {
      type: "array",
      minItems: 1,
      items: object({ name: { type: "string" }, color: { type: "string" }, subcategories: { type: "array", minItems: 1 } }),
    },
    markerSchema: { type: "array" },
  }),
  libs: { type: "array" },
  pausedRanges: { type: "array" },
  processes: { type: "array" },
  threads: {
    type: "array",
    minItems: 1,
    items: object({
      name: { type: "string" },
      processType: { type: "string" },
      registerTime: number,
      unregisterTime: orNull(number),
      pid: index,
      tid: index,
      markers: object({ schema: columns("name", "startTime", "endTime", "phase", "category", "data"), data: { type: "array" } }),
      samples: table(["stack", "time", "eventDelay", "threadCPUDelta"], orNull(index), number, number, orNull(number)),
      frameTable: table(
        ["location", "relevantForJS", "innerWindowID", "implementation", "line", "column", "category", "subcategory"],
        index,
        { type: "boolean" },
        orNull(index),
        orNull(index),
        orNull(index),
        orNull(index),
        orNull(index),
        orNull(index),
      ),
      stackTable: table(["prefix", "frame"], orNull(index), index),
      stringTable: { type: "array", items: { type: "string" } },
    }),
  },
});

test("files for the Firefox Profiler hold to its types", () => {
  for (const file of files.gecko) {
    const data = parse(file);
    assert.equal(schemaFaults(GECKO, data), null, file);
    for (const { samples, stackTable, frameTable, stringTable } of data.threads) {
      let last = -Infinity;
      for (const [stack, time] of samples.data) {
        assert.ok(stack === null || stack < stackTable.data.length);
        assert.ok(time >= last, "in the order of time");
        last = time;
      }
      for (const [i, [prefix, frame]] of stackTable.data.entries()) {
        assert.ok(prefix === null || prefix < i, "callers come first");
        assert.ok(frame < frameTable.data.length);
      }
      for (const [location, , , , , , category, subcategory] of frameTable.data) {
        assert.ok(location < stringTable.length);
        assert.ok(subcategory < data.meta.categories[category].subcategories.length);
      }
      assert.equal(new Set(stringTable).size, stringTable.length);
    }
  }
  const broken = parse(files.gecko[0]);
  broken.threads[0].pid = "7";
  assert.match(schemaFaults(GECKO, broken), /pid/);
});
