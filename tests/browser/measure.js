// SPDX-License-Identifier: Apache-2.0
// How long a page takes, measured in the page. usage: run.py measure.js PAGE.html...
// "computed" is until the page is done with it, "shown" until the browser has drawn the frame after that.
import { open, startBrowser } from "./support.js";

const TRIES = 7;

const ACTIONS = {
  zoom: [
    () => document.querySelector(".flame-box").dispatchEvent(new MouseEvent("click", clickAt(0.2, 90))),
    () => [...document.querySelectorAll("button")].find((button) => button.textContent === "Reset zoom").click(),
  ],
  search: [() => type(".flame-section input[type=search]", "module.function12"), () => type(".flame-section input[type=search]", "")],
  "table filter": [() => type(".functions input[type=search]", "function12"), () => type(".functions input[type=search]", "")],
  "thread filter": [() => pick("Thread", 1), () => pick("Thread", 0)],
  "time range": [() => slide("From", 20), () => slide("From", 0)],
  "callers and callees": [
    () => document.querySelector(".functions-table tbody button").click(),
    () => [...document.querySelectorAll("button")].find((button) => button.textContent === "Back to all calls").click(),
  ],
};

// What the actions use, in the page.
function helpers() {
  const field = (label) => document.getElementById([...document.querySelectorAll("label")].find(({ textContent }) => textContent === label).htmlFor);
  const set = (element, value, event) => {
    element.value = value;
    element.dispatchEvent(new Event(event, { bubbles: true }));
  };
  window.clickAt = (part, y) => {
    const box = document.querySelector(".flame-box").getBoundingClientRect();
    return { clientX: box.left + part * box.width, clientY: box.top + y, bubbles: true };
  };
  window.type = (selector, text) => set(document.querySelector(selector), text, "input");
  window.pick = (label, index) => set(field(label), field(label).options[index]?.value ?? "", "change");
  window.slide = (label, value) => set(field(label), value, "input");
  window.timed = async (act) => {
    const drawn = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    await drawn();
    const begin = performance.now();
    act();
    const computed = performance.now() - begin;
    await drawn();
    return [computed, performance.now() - begin];
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function print(name, times) {
  const [computed, shown] = [0, 1].map((i) => times.map((time) => time[i]));
  console.log(
    `  ${name.padEnd(20)} computed ${median(computed).toFixed(1)} ms, shown ${median(shown).toFixed(1)} ms (longest of ${times.length}: ${Math.max(...shown).toFixed(1)})`,
  );
}

async function measure(setting, file) {
  const opened = [];
  for (let i = 0; i < TRIES; i++) {
    const { page, close } = await open(setting, file);
    await page.waitForFunction(() => performance.getEntriesByName("shown").length > 0);
    opened.push(await page.evaluate(() => ["computed", "shown"].map((name) => performance.getEntriesByName(name)[0].startTime)));
    await close();
  }
  print("open", opened);
  const { page, faults, close } = await open(setting, file);
  await page.evaluate(helpers);
  for (const [name, [act, undo]] of Object.entries(ACTIONS)) {
    const times = [];
    for (let i = 0; i < TRIES; i++) {
      times.push(await page.evaluate(`timed(${act})`));
      await page.evaluate(`timed(${undo})`);
    }
    print(name, times);
  }
  for (const fault of faults) console.log(`  ${fault}`);
  await close();
}

const setting = { browser: await startBrowser() };
for (const file of process.argv.slice(2)) {
  console.log(`${file}:`);
  await measure(setting, file);
}
await setting.browser.close();
