import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../../../test/support/folder';
import { exportsOf } from './load-file';

const ADVICE = 'Compile the application, and give a JavaScript file, such as dist/app.module.js.';

it.each<[string, string, boolean]>([
  ['a missing file', 'none.js', true],
  ['a folder', '.', true],
  ['a TypeScript file', 'app.module.ts', true],
  ['a file that fails', 'app.module.cjs', false],
])('%s is an error that names the option and the file', async (_, name, hasAdvice) => {
  const folder = temporaryFolder();
  for (const file of ['app.module.ts', 'app.module.cjs'])
    writeFileSync(join(folder, file), 'throw new Error("the prefix is wrong");');
  const file = join(folder, name);
  const failure: Error = await exportsOf('--app', file).catch((error) => error);
  expect(failure.message).toMatch(`Cannot load --app ${file} (`);
  expect(failure.message.endsWith(ADVICE)).toBe(hasAdvice);
  if (!hasAdvice) expect(failure.message).toMatch(/ \(the prefix is wrong\)\.$/);
});
