// SPDX-License-Identifier: Apache-2.0
// A picture of a page. usage: run.py screenshot.js PAGE.html PICTURE.png [WIDTHxHEIGHT] [light|dark] [whole|seen] [FILTER]
// "whole": all of the page, however high it is. FILTER: of the table of functions.
import { open, startBrowser } from "./support.js";

const [file, picture, size = "1280x800", colorScheme = "light", extent = "seen", filter = ""] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
const setting = { browser: await startBrowser() };
const { page, faults, close } = await open(setting, file, { viewport: { width, height }, colorScheme });
await page.waitForFunction(() => performance.getEntriesByName("shown").length > 0);
if (filter !== "") await page.fill(".functions input[type=search]", filter);
await page.screenshot({ path: picture, fullPage: extent === "whole" });
await close();
await setting.browser.close();
for (const fault of faults) console.log(fault);
process.exit(faults.length > 0 ? 1 : 0);
