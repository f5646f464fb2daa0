import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');
const LIBRARY = 'libs/api-key/src';

const WRONG = [
  [`${LIBRARY}/credential/format.ts`, '../api-key.errors'],
  [`${LIBRARY}/credential/format.ts`, 'node:fs'],
  [`${LIBRARY}/credential/format.ts`, '@nestjs/common'],
  [`${LIBRARY}/verification/key-store.ts`, '../api-key.service'],
  [`${LIBRARY}/verification/key-store.ts`, '../request/authentication'],
  [`${LIBRARY}/database/database.ts`, '../verification/key-store'],
  [`${LIBRARY}/migrations/create-table.ts`, '../api-key.service'],
  [`${LIBRARY}/api-key.service.ts`, './api-key.guard'],
  [`${LIBRARY}/api-key.service.ts`, './request/authentication'],
  [`${LIBRARY}/api-key.guard.ts`, './verification/key-store'],
  [`${LIBRARY}/api-key.guard.ts`, './api-key.module'],
  [`${LIBRARY}/api-key.entity.ts`, './database/api-key.row'],
  [`${LIBRARY}/cli/index.ts`, '../api-key.service'],
  ['src/main.ts', '../libs/api-key/src/index'],
  ['test/service.spec.ts', '../libs/api-key/src/index'],
];

const RIGHT = [
  [`${LIBRARY}/credential/format.ts`, 'node:zlib'],
  [`${LIBRARY}/credential/format.ts`, './mask'],
  [`${LIBRARY}/verification/key-store.ts`, '../credential/digest'],
  [`${LIBRARY}/api-key.service.ts`, './verification/key-store'],
  [`${LIBRARY}/api-key.guard.ts`, './api-key.service'],
  [`${LIBRARY}/cli/index.ts`, '../index'],
  ['src/main.ts', 'nestjs-api-key'],
];

/** Whether each import fails the lint, in one run: every start of the linter reads the whole project. */
function failing(pairs: readonly (readonly string[])[]): boolean[] {
  const script = join(__dirname, 'support/lint-imports.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [script, JSON.stringify(pairs)], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, TSESTREE_SINGLE_RUN: 'false' }, // in a single run, as CI asks for, the parser reads the disk instead
  });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

it('every wrong arrow fails the lint, and every right one passes', () => {
  const verdicts = failing([...WRONG, ...RIGHT]);
  expect(WRONG.filter((_, i) => !verdicts[i])).toEqual([]);
  expect(RIGHT.filter((_, i) => verdicts[WRONG.length + i])).toEqual([]);
});
