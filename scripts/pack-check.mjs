import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { nodeBinary } from './node-binaries.mjs';
import { ABSENT } from './pack-check/absent.mjs';
import { application, startServer } from './pack-check/application.mjs';
import { APPS, NODES } from './pack-check/cells.mjs';
import { checkAbsent, linkedApplication, loadOn, pack, TARBALL_CHECKS } from './pack-check/package.mjs';
import { askAll } from './pack-check/questions.mjs';
import { followReadme } from './pack-check/readme.mjs';

/**
 * `npm run pack:check` packs the library and tries the tarball: the cheapest quarter. With `--all`,
 * it tries all applications of `scripts/pack-check/cells.mjs` on all versions of Node. Other words
 * select cells by a part of their names, such as `-- --all nest-12-esm`. With `--tarball FILE`, it
 * tries this file, and packs nothing.
 */
const { values, positionals } = parseArgs({
  options: { all: { type: 'boolean', default: false }, tarball: { type: 'string' } },
  allowPositionals: true,
});
const isWanted = (name) => positionals.length === 0 || positionals.some((word) => name.includes(word));
const results = { ok: 0, failed: [], impossible: [] };

/** Runs a cell, and prints its line. A cell that fails does not end the others. */
async function cell(name, check) {
  try {
    const detail = await check();
    results.ok++;
    console.log(`ok    ${name}${detail ? `: ${detail}` : ''}`);
    return true;
  } catch (error) {
    results.failed.push(name);
    console.log(`FAIL  ${name}\n${error.message.replace(/^/gm, '      ')}`);
    return false;
  }
}

/** Finds a version of Node. If the registry lacks it, its cells are impossible. */
async function nodeFor(version, name) {
  try {
    return await nodeBinary(version);
  } catch (error) {
    results.impossible.push(name);
    console.log(`none  ${name}: ${error.message.split('\n')[0]}`);
    return null;
  }
}

async function checkPackage(work, tarball) {
  for (const [name, check] of Object.entries(TARBALL_CHECKS))
    if (isWanted(`package ${name}`)) await cell(`package ${name}`, () => check(tarball) && undefined);
  const linked = linkedApplication(work, tarball);
  for (const version of NODES) {
    const name = `package loads on Node ${version}`;
    const node = isWanted(name) && (await nodeFor(version, name));
    if (node) await cell(name, () => loadOn(node, linked));
  }
  for (const row of ABSENT) {
    const name = `package without ${row.missing.join(', ')}: ${row.about}`;
    if (isWanted(name)) await cell(name, () => checkAbsent(row, work, tarball));
  }
}

async function checkApp(app, work, tarball, server) {
  const nodes = values.all ? app.nodes : [process.versions.node];
  const cells = app.builds.flatMap((build) =>
    nodes.map((version) => ({ name: `${app.name} by ${build.name} on Node ${version}`, build, version })),
  );
  const wanted = cells.filter(({ name }) => isWanted(name));
  if (wanted.length === 0) return;
  const made = application(app.name, work, [[/(?<=^npm install )nestjs-api-key/, tarball]]);
  try {
    const env = { node: process.execPath, DATABASE_URL: await createDatabase(server, `${app.name}_readme`) };
    const isInstalled = await cell(`${app.name} by the README (${app.about})`, () => install(app, made, env));
    if (!isInstalled) return;
    for (const { name, build, version } of wanted) {
      const node = await nodeFor(version, name);
      if (node) await cell(name, async () => tryOn(node, name, { app, build, made, server }));
    }
  } finally {
    rmSync(made.folder, { recursive: true, force: true });
  }
}

/** Follows the README from the folder of the application to the first 200. */
async function install(app, made, env) {
  await made.run('npm install', env);
  const steps = await followReadme(made, env);
  for (const line of app.installs) await made.run(line, env);
  made.restore();
  return `${steps} steps to the answer 200`;
}

async function tryOn(node, name, { app, build, made, server }) {
  const env = { node, DATABASE_URL: await createDatabase(server, name) };
  await made.run(build.line, env);
  const folder = build.alone ? made.moveOut(build.alone) : made.folder;
  const running = await startServer(`node ${build.server}`, folder, env);
  try {
    const command = (words) => made.run([...build.commands, ...words.map(quoted)].join(' '), env, folder);
    const checked = await askAll(running.url, command);
    if (app.tests) await made.run(app.tests, env);
    return `${checked} answers and commands${app.tests ? ', and its tests' : ''}`;
  } catch (error) {
    throw new Error(`${error.message}\n${running.log()}`);
  } finally {
    await running.stop();
  }
}

function quoted(word) {
  return `'${word}'`;
}

/** Creates a database of a server. */
async function createDatabase(server, name) {
  const database = name.replace(/\W+/g, '_').toLowerCase();
  const client = new Client({ connectionString: server.url });
  await client.connect();
  await client.query(`CREATE DATABASE "${database}"`);
  await client.end();
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  return url.href;
}

const work = realpathSync(mkdtempSync(join(tmpdir(), 'nestjs-api-key-pack-')));
let server;
try {
  const tarball = values.tarball ? resolve(values.tarball) : pack(work);
  const { startDatabase } = await import('../dist/bench/database.js');
  server = await startDatabase();
  await checkPackage(work, tarball);
  for (const app of APPS) if (values.all || app.isQuick) await checkApp(app, work, tarball, server);
} finally {
  await server?.remove();
  rmSync(work, { recursive: true, force: true });
}
const { ok, failed, impossible } = results;
console.log(`${ok} ok, ${failed.length} failed, ${impossible.length} not possible here`);
for (const name of failed) console.log(`failed: ${name}`);
for (const name of impossible) console.log(`not possible here: ${name}`);
if (failed.length > 0 || ok === 0) process.exitCode = 1;
