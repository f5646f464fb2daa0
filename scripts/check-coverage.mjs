import { readFileSync } from 'node:fs';

/**
 * Pattern of the files in which every branch must be covered: the folder `credential` and the
 * guards.
 */
const COMPLETE = /libs\/api-key\/src\/(credential\/[^/]+|([^/]+\/)?[^/]+\.guard)\.ts$/;
/** Minimum coverage of the branches of the whole library, in percent. */
const LEAST = 98;

const summary = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const files = Object.entries(summary).filter(([file]) => COMPLETE.test(file));
if (files.length === 0) throw new Error('No file to be covered was found in the summary.');
for (const [file, { branches }] of files) {
  console.log(`${branches.pct} % of ${branches.total} branches  ${file.slice(file.indexOf('libs/'))}`);
  if (branches.covered < branches.total) process.exitCode = 1;
}
const { pct } = summary.total.branches;
console.log(`${pct} % of branches of the library in all, of which ${LEAST} % must be covered`);
if (pct < LEAST) process.exitCode = 1;
