// SPDX-License-Identifier: Apache-2.0
// Names are texts, whatever is in them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { open, probe, setUp, tableRows } from "./support.js";

const setting = setUp();

test("markup, quotes, controls and bidirectional marks are shown and do nothing", async () => {
  const [file] = probe(setting, "hostile", "hostile.html");
  const { page, faults, close } = await open(setting, file);
  const names = (await tableRows(page)).map(({ name }) => name);
  assert.deepEqual(
    names.sort(),
    [
      "<script>window.harmed=1</script>",
      "\"quoted\" 'and' `so`",
      "left\\u{202e}tfel\\u{202c}",
      "tab\\u{9}newline\\u{a}bell\\u{7}escape\\u{1b}[31m",
      "nul\\u{0}after",
      "\u05e9\u05dc\u05d5\u05dd",
      "broken\ufffd utf-8",
      "(no name)",
      "constructor",
      "__proto__",
      "main",
    ].sort(),
  );
  assert.equal(await page.textContent("h1"), "</script><script>window.harmed=2</script>");
  assert.ok((await page.textContent("header")).includes("echo \"<img src=x onerror=window.harmed=3>\" '&amp;'"));
  // All that can be pressed, with them in it.
  for (const button of await page.locator(".functions-table tbody button").all()) await button.click();
  await page.selectOption("label:text-is('Thread') + select", { index: 1 });
  await page.selectOption("label:text-is('Colour by') + select", "package");
  await page.fill(".flame-section input[type=search]", "<script>");
  assert.match(await page.textContent(".flame-section .count"), /^1 frame of 1 function, 10.00 %$/);
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  assert.equal(await page.locator("main script, main img, main b, main i").count(), 0);
  assert.deepEqual(faults, []);
  await close();
});

test("the policy of the page lets no other script run and nothing be fetched", async () => {
  const [file] = probe(setting, "hostile", "policy.html");
  const { page, close } = await open(setting, file);
  const outcome = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.text = "window.harmed = 5";
    document.body.append(script);
    const fetched = await fetch("https://127.0.0.1:1/").then(
      () => "fetched",
      (error) => error.message,
    );
    return { harmed: window.harmed, fetched };
  });
  assert.equal(outcome.harmed, undefined);
  assert.match(outcome.fetched, /Failed to fetch/);
  await close();
});
