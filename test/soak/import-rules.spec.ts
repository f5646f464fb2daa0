import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from '../support/folder';

const ROOT = join(__dirname, '../..');
const LIBRARY = 'libs/api-key/src';

/** One file of each room, and one that the room may not import. */
const WRONG = [
  [`${LIBRARY}/credential/format.ts`, '../model/api-key.errors'],
  [`${LIBRARY}/credential/format.ts`, 'node:fs'],
  [`${LIBRARY}/credential/format.ts`, '@nestjs/common'],
  [`${LIBRARY}/model/api-key.entity.ts`, '../database/api-key.row'],
  [`${LIBRARY}/options/pepper.ts`, '../database/database'],
  [`${LIBRARY}/database/database.ts`, '../lookup/key-store'],
  [`${LIBRARY}/database/database.ts`, '../options/api-key.options'],
  [`${LIBRARY}/lookup/key-store.ts`, '../api-key.service'],
  [`${LIBRARY}/lookup/key-store.ts`, '../transport/http-exchange'],
  [`${LIBRARY}/lookup/key-store.ts`, '../audit/trail'],
  [`${LIBRARY}/audit/trail.ts`, '../lookup/key-store'],
  [`${LIBRARY}/usage/report.ts`, '../rate-limit/limiter'],
  [`${LIBRARY}/transport/http-exchange.ts`, '../routes/scopes.decorator'],
  [`${LIBRARY}/transport/http-exchange.ts`, '../lookup/key-store'],
  [`${LIBRARY}/routes/scopes.guard.ts`, '../rate-limit/limiter'],
  [`${LIBRARY}/rate-limit/limiter.ts`, '../lookup/key-store'],
  [`${LIBRARY}/rate-limit/storages/storage.ts`, '../../keys/input'],
  [`${LIBRARY}/keys/rotate-key.ts`, '../transport/http-exchange'],
  [`${LIBRARY}/keys/rotate-key.ts`, '../rate-limit/limiter'],
  [`${LIBRARY}/authentication/owner-loader.ts`, '../api-key.service'],
  [`${LIBRARY}/authentication/api-key.authenticator.ts`, '../boot/boot-check'],
  [`${LIBRARY}/migrations/create-table.ts`, '../api-key.service'],
  [`${LIBRARY}/migrations/create-table.ts`, '../lookup/key-store'],
  [`${LIBRARY}/boot/boot-check.ts`, '../api-key.service'],
  [`${LIBRARY}/api-key.service.ts`, './api-key.guard'],
  [`${LIBRARY}/api-key.service.ts`, './migrations/triggers'],
  [`${LIBRARY}/routes/scopes.guard.ts`, '../api-key.service'],
  [`${LIBRARY}/api-key.guard.ts`, './api-key.module'],
  [`${LIBRARY}/api-key.guard.ts`, './api-key.service'],
  [`${LIBRARY}/authentication/api-key.authenticator.ts`, '../api-key.service'],
  [`${LIBRARY}/cli/index.ts`, '../api-key.service'],
  [`${LIBRARY}/cli/index.ts`, '../keys/prune'],
  [`${LIBRARY}/management/index.ts`, '../model/api-key.errors'],
  ['src/main.ts', '../libs/api-key/src/index'],
  ['test/service.spec.ts', '../libs/api-key/src/index'],
];

const RIGHT = [
  [`${LIBRARY}/credential/format.ts`, 'node:zlib'],
  [`${LIBRARY}/credential/format.ts`, './mask'],
  [`${LIBRARY}/lookup/key-store.ts`, '../credential/digest'],
  [`${LIBRARY}/rate-limit/storages/storage.ts`, '../../model/limits'],
  [`${LIBRARY}/authentication/api-key.authenticator.ts`, '../keys/end-keys'],
  [`${LIBRARY}/api-key.service.ts`, './lookup/key-store'],
  [`${LIBRARY}/api-key.guard.ts`, './authentication/api-key.authenticator'],
  [`${LIBRARY}/api-key.module.ts`, './boot/boot-check'],
  [`${LIBRARY}/cli/index.ts`, '../index'],
  ['src/main.ts', 'nestjs-api-key'],
];

/**
 * Whether each import fails the lint, in one run: every start of the linter reads the whole
 * project.
 */
function failing(pairs: readonly (readonly string[])[]): boolean[] {
  const script = join(__dirname, '../support/lint-imports.mjs');
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

it('files that import each other in a circle fail the lint, also if they import types alone', () => {
  const folder = temporaryFolder();
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write('a.ts', "import type { B } from './b';\nexport type A = B | 1;");
  write('b.ts', "import { C } from './inner';\nexport type B = typeof C;");
  mkdirSync(join(folder, 'inner'));
  write('inner/index.ts', 'export const C = 1;');
  const run = () =>
    spawnSync(process.execPath, ['scripts/import-circles.mjs', folder], { cwd: ROOT, encoding: 'utf8' });
  expect(run()).toMatchObject({ status: 0, stderr: '' });
  write('inner/index.ts', "import type { A } from '../a';\nexport const C: A = 1;");
  expect(run()).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/circle:\n.*a\.ts\n.*b\.ts\n.*index\.ts\n.*a\.ts\n$/),
  });
  removeFolder(folder);
});
