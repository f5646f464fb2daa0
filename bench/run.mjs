import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const changed = (file) => (existsSync(`${here}${file}`) ? statSync(`${here}${file}`).mtimeMs : 0);

const comparesRevisions = process.argv.some((argument) => /^--compare($|=)/.test(argument));

if (!comparesRevisions && changed('node_modules/.package-lock.json') < changed('package-lock.json')) {
  console.error('Installing what is compared ...');
  const { status } = spawnSync(
    'npm',
    ['ci', '--no-audit', '--no-fund', '--fetch-retries=5', '--loglevel=error'],
    {
      cwd: here,
      stdio: ['ignore', 2, 2],
    },
  );
  if (status !== 0) {
    console.error('npm ci failed in bench: the libraries that are compared could not be installed.');
    process.exit(1);
  }
}
await import(comparesRevisions ? '../dist/bench/compare.js' : '../dist/bench/main.js');
