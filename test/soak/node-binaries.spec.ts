import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from '../support/folder';

const ROOT = join(__dirname, '../..');
const SCRIPT = join(ROOT, 'scripts/node-binaries.mjs');
const VERSION = '98.7.6';

let folder: string;
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => removeFolder(folder));

describe('nodeBinary', () => {
  it('is the running Node, without a registry, if it has the version', async () => {
    const [major] = process.versions.node.split('.');
    expect(await nodeBinary(`${major}`, 'http://127.0.0.1:9')).toMatchObject({ stdout: process.execPath });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('fetches a version once, also if several processes request it at the same time', async () => {
    const registry = await startRegistry('#!/bin/sh\necho v98.7.6\n');
    const [first, second] = await Promise.all([
      nodeBinary('98', registry.url),
      nodeBinary('98', registry.url),
    ]);
    const asked = registry.asked();
    const third = await nodeBinary('98', registry.url);
    registry.close();
    expect(first.stdout).toMatch(/bin\/node$/);
    expect([second.stdout, third.stdout]).toEqual([first.stdout, first.stdout]);
    expect(execFileSync(first.stdout, { encoding: 'utf8' })).toBe(`v${VERSION}\n`);
    expect(registry.asked()).toBe(asked);
    expect(readdirSync(join(folder, 'binaries'))).toHaveLength(1);
  });

  it('says what failed if the registry cannot be reached, and leaves nothing in the cache', async () => {
    const { stderr } = await nodeBinary('98', 'http://127.0.0.1:9');
    expect(stderr).toMatch(
      /^Node 98 could not be fetched: npm could not install \S+@98\. Check that the npm registry is reachable/,
    );
    expect(readdirSync(join(folder, 'binaries'))).toEqual([]);
  });

  it('says that a binary which was fetched does not run here', async () => {
    const registry = await startRegistry('#!/bin/sh\nexit 1\n');
    const { stderr } = await nodeBinary('98', registry.url);
    registry.close();
    expect(stderr).toMatch(/^Node 98 was fetched, but does not run here: /);
  });

  it.each(['', 'latest', '--quick'])('refuses %j as a version', async (version) => {
    const { stderr } = await nodeBinary(version, 'http://127.0.0.1:9');
    expect(stderr).toBe(`Not a version of Node: '${version}'. Give one such as 24 or 24.1.0.`);
  });
});

/** Calls it in a process of its own, with a cache of its own, on a registry. */
function nodeBinary(version: string, registry: string): Promise<{ stdout: string; stderr: string }> {
  const call = `import(${JSON.stringify(SCRIPT)})
    .then(({ nodeBinary }) => nodeBinary(process.argv[1], process.argv[2]))
    .then((path) => process.stdout.write(path), (error) => process.stderr.write(error.message))`;
  const env = {
    ...process.env,
    npm_config_registry: registry,
    npm_config_cache: join(folder, 'npm'),
    npm_config_fetch_retries: '0',
  };
  return new Promise((resolve) => {
    const args = ['-e', call, '--', version, join(folder, 'binaries')];
    execFile(process.execPath, args, { env }, (_, stdout, stderr) => resolve({ stdout, stderr }));
  });
}

/** A registry in which every package is one version with a file `bin/node`. */
async function startRegistry(binary: string) {
  const source = join(folder, 'source');
  mkdirSync(join(source, 'package/bin'), { recursive: true });
  writeFileSync(join(source, 'package/bin/node'), binary, { mode: 0o755 });
  writeFileSync(join(source, 'package/package.json'), JSON.stringify({ name: 'node', version: VERSION }));
  const tarball = join(folder, 'node.tgz');
  execFileSync('tar', ['-czf', tarball, '-C', source, 'package']);
  let asked = 0;
  const server: Server = createServer(({ url = '' }, response) => {
    asked++;
    response.end(
      url.endsWith('.tgz') ? readFileSync(tarball) : JSON.stringify(packument(url.slice(1), origin())),
    );
  });
  const origin = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: origin(), asked: () => asked, close: () => server.close() };
}

function packument(name: string, origin: string) {
  const dist = { tarball: `${origin}/${name}/-/${VERSION}.tgz` };
  return {
    name,
    'dist-tags': { latest: VERSION },
    versions: { [VERSION]: { name, version: VERSION, dist } },
  };
}
