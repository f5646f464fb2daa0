import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Emptied by `npm ci`, so that a version is at most as old as what is installed. */
const CACHE = join(import.meta.dirname, '../node_modules/.cache/node-binaries');
const FETCH_TIMEOUT_MS = 300_000;

/**
 * The path of a Node binary. It is `process.execPath` if this process runs on that version; others
 * are fetched from the npm registry once and cached.
 * @param version a major version such as `24`, or a longer one such as `24.1` or `24.1.0`
 * @param cache the folder in which binaries are cached
 * @throws Error if `version` is not a version, or the binary cannot be fetched or does not run here
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

/** The package that npm's `node` installs by a script; asked for by name, it needs no script. */
function platformPackage() {
  const { platform, arch } = process;
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node';
  return `${prefix}-${platform === 'win32' ? 'win' : platform}-${arch}`;
}

function binaryName() {
  return process.platform === 'win32' ? 'node.exe' : 'node';
}

/** Installed beside its place and renamed, so that no other process sees half of it. */
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
