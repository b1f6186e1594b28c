// SPDX-License-Identifier: Apache-2.0
// Holds Kubernetes manifests to the API's schema: values by the schema's own validators, names of fields by its types.
//
// usage: node check_manifests.mjs FOLDER FILE...
// FOLDER has the npm packages kubernetes-models, js-yaml and typescript. A FILE with several documents is all of them; one
// without a kind is a container.
import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const [folder, ...files] = process.argv.slice(2);
const require = createRequire(folder + '/');
const yaml = require('js-yaml');
const models = { v1: 'kubernetes-models/v1', 'apps/v1': 'kubernetes-models/apps/v1' };
const lines = [];
let faults = 0;

function fault(text) {
  console.log(text);
  ++faults;
}

for (const file of files) {
  for (const document of yaml.loadAll(fs.readFileSync(file, 'utf8'))) {
    const isContainer = document.kind === undefined;
    const model = models[isContainer ? 'v1' : document.apiVersion];
    const kind = isContainer ? 'Container' : document.kind;
    const Model = model && require(model)[kind];
    if (!isContainer && !Model) {
      fault(`${file}: no ${kind} in ${document.apiVersion}`);
      continue;
    }
    if (!isContainer) {
      try {
        new Model(document).validate();
      } catch (error) {
        fault(`${file}: ${error.message}`);
      }
    }
    const type = isContainer ? 'Partial<models.IContainer>' : `models.I${kind}`;
    lines.push(`{ // ${file}`, `  const document: ${type.replace('models', `import('${model}')`)} = ${JSON.stringify(document)};`, '}');
  }
}
const source = path.join(folder, 'manifests.ts');
fs.writeFileSync(source, lines.join('\n'));
try {
  execFileSync(process.execPath, [require.resolve('typescript/lib/tsc.js'), '--noEmit', '--strict', '--skipLibCheck', '--module',
    'node16', '--moduleResolution', 'node16', source], { cwd: folder, encoding: 'utf8' });
} catch (error) {
  fault(error.stdout || error.message);
}
process.exit(faults ? 1 : 0);
