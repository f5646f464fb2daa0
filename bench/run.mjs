import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { nodeBinary } from '../scripts/node-binaries.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const changed = (file) => (existsSync(`${here}${file}`) ? statSync(`${here}${file}`).mtimeMs : 0);

const [asked, others] = withoutNode(process.argv.slice(2));
const binary = asked === null ? process.execPath : await fetched(asked);
if (binary === process.execPath) await runHere(others);
else runOn(binary, others);

/** Returns the version after `--node`, or null, and the other arguments. */
function withoutNode(args) {
  const at = args.findIndex((argument) => /^--node($|=)/.test(argument));
  if (at === -1) return [null, args];
  const [, value] = args[at].split('=');
  const taken = value === undefined ? 2 : 1;
  return [value ?? args[at + 1] ?? '', args.filter((_, i) => i < at || i >= at + taken)];
}

async function fetched(version) {
  try {
    return await nodeBinary(version);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

/**
 * Runs the measurement on another version of Node and exits with the exit code of the measurement.
 * Passes signals on, so that the measurement removes its database.
 */
function runOn(node, args) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  child.on('close', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

async function runHere(args) {
  process.argv.splice(2, Infinity, ...args);
  const comparesRevisions = args.some((argument) => /^--compare($|=)/.test(argument));
  if (!comparesRevisions) installCompared();
  console.log(`Node ${process.versions.node}\n`);
  await import(comparesRevisions ? '../dist/bench/compare.js' : '../dist/bench/main.js');
}

function installCompared() {
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json')) return;
  console.error('Installing what is compared ...');
  const { status } = spawnSync(
    'npm',
    ['ci', '--no-audit', '--no-fund', '--fetch-retries=5', '--loglevel=error'],
    { cwd: here, stdio: ['ignore', 2, 2] },
  );
  if (status === 0) return;
  console.error('npm ci failed in bench: the libraries that are compared could not be installed.');
  process.exit(1);
}
