import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const APPS = join(import.meta.dirname, '../pack-apps');
/** Files of each application that has no such file itself. */
const COMMON = 'common';
const NPM = {
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_prefer_offline: 'true',
  npm_config_loglevel: 'error',
};
/** Variables of this `npm run`, which would tell the npm of the application about this folder. */
const OF_NPM = /^npm_(?!config_(registry|cache|userconfig)$)|^INIT_CWD$|^NODE_OPTIONS$/;
/** Time for a server to listen. A busy machine compiles slowly. */
const START_MS = 60_000;
const POLL_MS = 100;
/** How much of the output a failure shows. */
const SHOWN_CHARACTERS = 4_000;

/**
 * Copies an application out of the repository, so that it finds only what it installs itself.
 * @param values words of a line that are replaced, such as the name of the package by its tarball
 */
export function application(name, work, values) {
  const folder = join(work, name);
  const copy = (part) => {
    for (const from of [COMMON, name])
      cpSync(join(APPS, from, part), join(folder, part), { recursive: true });
  };
  copy('.');
  const replaced = (line) => values.reduce((text, [from, to]) => text.replace(from, to), line);
  return {
    folder,
    /** Replaces a source file. */
    write: (file, text) => writeFileSync(join(folder, file), text),
    /** Gives the source files of the application back. */
    restore: () => copy('src'),
    /** Copies a built folder to where it finds no `node_modules`. */
    moveOut: (built) => {
      const alone = join(work, 'alone', built);
      mkdirSync(dirname(alone), { recursive: true });
      cpSync(join(folder, built), alone, { recursive: true });
      return join(work, 'alone');
    },
    /**
     * Runs a line of a shell.
     * @throws Error with the end of what it printed
     */
    run: (line, env, at = folder) => {
      const child = spawn('bash', ['-ec', replaced(line)], { cwd: at, env: envOf(env) });
      return outputOf(child, line);
    },
  };
}

/** Starts a server on a free port, and returns when it answers. */
export async function startServer(line, folder, env) {
  const port = await freePort();
  const child = spawn('bash', ['-ec', `exec ${line}`], {
    cwd: folder,
    env: envOf({ ...env, PORT: String(port) }),
    detached: true,
  });
  const end = () => endGroup(child);
  process.once('exit', end);
  const log = collect(child);
  const ended = new Promise((resolve) => child.once('close', resolve));
  const url = `http://localhost:${port}`;
  const stop = async () => {
    end();
    process.off('exit', end);
    await ended;
  };
  const deadline = Date.now() + START_MS;
  while (!(await answers(url))) {
    if (child.exitCode === null && Date.now() < deadline) {
      await delay(POLL_MS);
      continue;
    }
    await stop();
    throw new Error(`The server does not answer:\n${shown(log())}`);
  }
  return { url, port, log: () => shown(log()), stop };
}

/** Ends a server together with the shell or npm that started it. */
function endGroup({ pid }) {
  try {
    process.kill(-pid);
  } catch {
    // The server has ended already.
  }
}

/** The environment of a user, in which `node` is the given binary. */
function envOf({ node, ...env }) {
  const own = Object.entries(process.env).filter(([name]) => !OF_NPM.test(name));
  const PATH = `${dirname(node)}${delimiter}${process.env.PATH}`;
  return { ...Object.fromEntries(own), ...NPM, NO_COLOR: '1', ...env, PATH };
}

function outputOf(child, line) {
  const log = collect(child, 'stdout');
  const all = collect(child);
  child.stdin.end();
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(log()) : reject(new Error(`${line} failed with ${code}:\n${shown(all())}`)),
    );
  });
}

function collect(child, only) {
  let text = '';
  for (const name of only ? [only] : ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  return () => text;
}

function shown(text) {
  return text.slice(-SHOWN_CHARACTERS);
}

async function answers(url) {
  try {
    await fetch(url);
    return true;
  } catch {
    return false;
  }
}

function freePort() {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
