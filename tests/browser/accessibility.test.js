// SPDX-License-Identifier: Apache-2.0
// axe-core finds nothing, light and dark, and on paper there is what there is to read.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { axeSource, open, probe, profile, program, setUp } from "./support.js";

const setting = setUp();
const files = {};
before(() => {
  [files.diff] = probe(setting, "diff", "diff.html");
  [files.hostile] = probe(setting, "hostile", "hostile.html");
  files.real = profile(setting, "real.html", "python3", program("shares.py"), "1");
});

async function expectNoViolation(page) {
  await page.evaluate(axeSource());
  const violations = await page.evaluate(async () => {
    const found = await axe.run(document);
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`);
  });
  assert.deepEqual(violations, []);
}

for (const colorScheme of ["light", "dark"]) {
  for (const name of ["real", "diff", "hostile"]) {
    test(`${name}, ${colorScheme}`, async () => {
      const { page, close } = await open(setting, files[name], { colorScheme });
      assert.equal(await page.getAttribute("html", "data-theme"), colorScheme);
      await expectNoViolation(page);
      // With a frame chosen, a search, and callers and callees.
      await page.fill(".flame-section input[type=search]", "a");
      await page.locator(".flame-box:visible").first().click({ position: { x: 60, y: 50 } });
      await expectNoViolation(page);
      await page.click("text=Callers and callees");
      await expectNoViolation(page);
      await close();
    });
  }
}

test("the button changes the theme, and a page that is narrow does not scroll sideways", async () => {
  const { page, close } = await open(setting, files.real, { viewport: { width: 800, height: 900 } });
  await page.click("text=Dark colours");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inner <= outer, `${inner} wide in ${outer}`);
  await close();
});

test("on paper it is light, without what can only be pressed", async () => {
  const { page, close } = await open(setting, files.real, { colorScheme: "dark" });
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await page.getAttribute("html", "data-theme"), "light");
  assert.ok(!(await page.isVisible("text=Print")));
  assert.ok(await page.isVisible(".functions-table"));
  assert.ok(await page.isVisible(".flame-box canvas"));
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  await close();
});
