// SPDX-License-Identifier: Apache-2.0
// A browser with a page in it, and the programs that make pages.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const TESTS = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// The packages of package-lock.json lie outside the tree: run.py says where.
const packages = createRequire(path.join(process.env.AGENT_BROWSER_PACKAGES, "package.json"));
const { chromium } = packages("playwright-core");

/** What is wrong with `data` by a JSON schema (draft 7); null: nothing. */
export function schemaFaults(schema, data) {
  const ajv = new (packages("ajv").default)({ strict: false, allErrors: true });
  const validate = ajv.compile(schema);
  return validate(data) ? null : ajv.errorsText(validate.errors, { separator: "\n" });
}
/** That of speedscope's files, as its package publishes it. */
export const speedscopeSchema = () => packages("speedscope/dist/release/file-format-schema.json");

export const axeSource = () => packages("axe-core").source;
export const program = (name) => path.join(TESTS, "programs", name);

/** Runs a program to its end; its output. */
export function run(command, ...args) {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28 });
}

/** The values of a pprof file by function: {name: {self, total}}, and their sums, each type of values. */
export function readPprof(file) {
  const script = path.join(TESTS, "browser", "pprof_functions.py");
  return JSON.parse(run("python3", script, file));
}

// Without a sandbox of its own: it needs rights that a container may not have, and the page is ours.
export const startBrowser = () => chromium.launch({ executablePath: process.env.AGENT_CHROMIUM, args: ["--no-sandbox"] });

/** A folder for the tests of a file, and the browser. */
export function setUp() {
  const setting = { folder: "", browser: null };
  before(async () => {
    setting.folder = mkdtempSync(path.join(tmpdir(), "agent-page-"));
    setting.browser = await startBrowser();
  });
  after(async () => {
    await setting.browser?.close();
    rmSync(setting.folder, { recursive: true, force: true });
  });
  return setting;
}

/** Makes FOLDER/name by page_probe. */
export function probe(setting, kind, ...names) {
  const files = names.map((name) => path.join(setting.folder, name));
  run(path.join(process.env.AGENT_BUILD, "bin", "page_probe"), kind, ...files);
  return files;
}

/** Profiles a program with the real agent into FOLDER/name, each in its format. */
export function profile(setting, names, ...command) {
  const files = names.map((name) => path.join(setting.folder, name));
  run(process.env.AGENT_BINARY, "exec", ...files.flatMap((file) => ["-o", file]), ...command);
  return files;
}

/**
 * Opens a page from its file. Anything that it says on the console, any error in it, and anything that it asks the network
 * for is kept in `faults`.
 */
export async function open(setting, file, options = {}) {
  const context = await setting.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith("file:")) faults.push(`request: ${request.url()}`);
  });
  await page.goto(`file://${file}`);
  await page.waitForSelector("h1");
  return { page, faults, close: () => context.close() };
}

/** The table as rows of texts. */
export function tableRows(page) {
  return page.$$eval(".functions-table tbody tr", (rows) =>
    rows.map((row) => ({
      name: row.querySelector("button").textContent,
      cells: [...row.querySelectorAll("td")].map((cell) => cell.textContent),
      exact: [...row.querySelectorAll("td[title]")].map((cell) => cell.title),
    })),
  );
}

/** Shows all rows of the table. */
export async function showAllRows(page) {
  const more = page.locator(".more button");
  while (await more.isVisible()) await more.click();
}

/** What a screen reader was last told. */
export const announced = (page) => page.locator("main > [role=status]").textContent();

/** The data of a page, read by other code than the page's: [{stack: names from the root, thread, slice, values}] of each run. */
export function readData(file) {
  const text = /<script id="data"[^>]*>([^<]*)</.exec(readFileSync(file, "utf8"))[1];
  const raw = JSON.parse(gunzipSync(Buffer.from(text, "base64")).toString("utf8"));
  const nameOf = (node) => raw.strings[raw.functions.name[raw.nodes.function[node]]];
  const stackOf = (node) => (node === 0 ? [] : [...stackOf(node - raw.nodes.back[node]), nameOf(node)]);
  const runs = raw.runs.map((run) => {
    let node = 0;
    const samples = run.samples["node+"].map((step, i) => {
      node += step;
      return {
        stack: stackOf(node),
        thread: run.samples.thread[i],
        slice: run.samples.slice[i],
        values: { cpu: run.samples.cpu[i], count: run.samples.count[i] },
      };
    });
    return { facts: run.facts, slice: run.slice, samples };
  });
  return { raw, runs };
}

/** Self, total and sum of CPU time by function. */
export function costs(samples) {
  const functions = new Map();
  let sum = 0;
  for (const { stack, values } of samples) {
    sum += values.cpu;
    for (const name of new Set(stack)) {
      const cost = functions.get(name) ?? { self: 0, total: 0 };
      functions.set(name, cost);
      cost.total += values.cpu;
      if (stack.at(-1) === name) cost.self += values.cpu;
    }
  }
  return { functions, sum };
}

export const percent = (part, whole) => `${((100 * part) / whole).toFixed(2)} %`;
