import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/**
 * Folder of the cached binaries. `npm ci` empties this folder. Therefore a cached version is never
 * older than the installed packages.
 */
const CACHE = join(import.meta.dirname, '../node_modules/.cache/node-binaries');
const FETCH_TIMEOUT_MS = 300_000;

/**
 * Returns the path of a Node binary with this version. This is `process.execPath` if this process
 * runs on this version. Other binaries are fetched from the npm registry once and cached.
 * @param version a major version such as `24`, or a longer version such as `24.1` or `24.1.0`
 * @param cache the folder of the cached binaries
 * @throws Error if `version` is not a version, if the binary cannot be fetched, or if the binary
 *   does not run here
 */
export async function nodeBinary(version, cache = CACHE) {
  if (!/^\d+(\.\d+){0,2}$/.test(version))
    throw new Error(`Not a version of Node: '${version}'. Give one such as 24 or 24.1.0.`);
  if (`${process.versions.node}.`.startsWith(`${version}.`)) return process.execPath;
  const place = join(cache, `${platformPackage()}-${version}`);
  const binary = join(place, 'node_modules', platformPackage(), 'bin', binaryName());
  if (!existsSync(binary)) await fetchInto(place, cache, version);
  await runsHere(binary, version);
  return binary;
}

/**
 * Returns the name of the npm package with the Node binary for this platform. The package `node`
 * installs this package with a script. A direct installation needs no script.
 */
function platformPackage() {
  const { platform, arch } = process;
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node';
  return `${prefix}-${platform === 'win32' ? 'win' : platform}-${arch}`;
}

function binaryName() {
  return process.platform === 'win32' ? 'node.exe' : 'node';
}

/**
 * Installs a package into a temporary folder and renames the folder, so that no other process sees
 * a partial installation.
 */
async function fetchInto(place, cache, version) {
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, 'fetching-'));
  try {
    await install(`${platformPackage()}@${version}`, fresh, version);
    moveUnlessThere(fresh, place);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function install(wanted, folder, version) {
  const quiet = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const args = ['install', '--prefix', folder, '--ignore-scripts', ...quiet, wanted];
  const shell = process.platform === 'win32';
  try {
    await execute('npm', args, { timeout: FETCH_TIMEOUT_MS, shell });
  } catch (error) {
    throw new Error(
      `Node ${version} could not be fetched: npm could not install ${wanted}. ` +
        `Check that the npm registry is reachable and has this version.\n${reason(error)}`,
    );
  }
}

function reason({ killed, stderr, message }) {
  if (killed) return `npm was ended after ${FETCH_TIMEOUT_MS / 1_000} s.`;
  return stderr?.trim() || message;
}

function moveUnlessThere(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  }
}

async function runsHere(binary, version) {
  try {
    await execute(binary, ['--version']);
  } catch (error) {
    throw new Error(`Node ${version} was fetched, but does not run here: ${binary}\n${error.message}`);
  }
}
