// SPDX-License-Identifier: Apache-2.0
// Burns CPU in functions of its own and says how much went where.
// usage: node --perf-basic-prof shares.js SECONDS
"use strict";

const spent = { tokenize: 0, checksum: 0, draw: 0 };

function cpu() {
  const usage = process.cpuUsage();
  return (usage.user + usage.system) * 1000;
}

function tokenize(turns) {
  let sum = 0;
  for (let i = 0; i < turns; ++i) sum += "alpha beta gamma delta".split(" ").length;
  return sum;
}

function checksum(turns) {
  let sum = 1;
  for (let i = 0; i < turns * 60; ++i) sum = (sum * 31 + i) | 0;
  return sum;
}

class Renderer {
  draw(turns) {
    let sum = 0;
    for (let i = 0; i < turns; ++i) sum += Math.sin(i) * Math.cos(i);
    return sum;
  }
}

const renderer = new Renderer();
const work = {
  tokenize: (n) => tokenize(n),
  checksum: (n) => checksum(n),
  draw: (n) => renderer.draw(n),
};
let sink = 0;
console.log("ready");
const until = Date.now() + Number(process.argv[2]) * 1000;
while (Date.now() < until) {
  for (const name of Object.keys(work)) {
    const begin = cpu();
    sink += work[name](200000);
    spent[name] += cpu() - begin;
  }
}
if (sink === 42) console.log(sink);
console.log(JSON.stringify({ functions: spent, process: cpu() }));
