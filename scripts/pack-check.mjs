import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeBinary } from './node-binaries.mjs';

/** Major versions of Node on which the application runs, in addition to the current version. */
const VERSIONS = ['22', '24', '26'];

/**
 * Folders of the check. The script packs the library and unpacks the tarball into a new
 * application. The application loads the library as CommonJS and as an ES module, as the
 * application of a user would.
 */
const root = join(import.meta.dirname, '..');
const work = mkdtempSync(join(tmpdir(), 'nestjs-api-key-pack-'));

const run = (program, args, cwd = root) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const USE = `
class Empty {}
ApiKeyModule.forRoot({ prefix: 'acme_live' });
if (apiKeyMigrations().length === 0 || !new ApiKey() || !ApiKeyAuth('orders:read')) throw new Error('not usable');
if (typeof runKeysCli !== 'function') throw new Error('no command line');
ApiKeyManagementModule.forRoot({ guards: 'open' });
console.log('usable');
`;
const NAMES = 'ApiKey, ApiKeyAuth, ApiKeyModule, apiKeyMigrations';
const KINDS = {
  'app.cjs': `require('reflect-metadata');\nconst { ${NAMES} } = require('nestjs-api-key');\nconst { runKeysCli } = require('nestjs-api-key/cli');\nconst { ApiKeyManagementModule } = require('nestjs-api-key/management');`,
  'app.mjs': `import 'reflect-metadata';\nimport { ${NAMES} } from 'nestjs-api-key';\nimport { runKeysCli } from 'nestjs-api-key/cli';\nimport { ApiKeyManagementModule } from 'nestjs-api-key/management';`,
};

function unpackInto(app, tarball) {
  const modules = join(app, 'node_modules');
  mkdirSync(join(modules, 'nestjs-api-key'), { recursive: true });
  run('tar', ['-xzf', tarball, '-C', join(modules, 'nestjs-api-key'), '--strip-components=1']);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== 'nestjs-api-key' && !name.startsWith('.'))
      symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  const own = join(root, 'libs/api-key/node_modules');
  for (const name of existsSync(own) ? readdirSync(own).filter((entry) => !entry.startsWith('.')) : []) {
    rmSync(join(modules, name), { recursive: true, force: true });
    symlinkSync(join(own, name), join(modules, name));
  }
}

/**
 * Returns the paths of the current Node binary and of the binaries of VERSIONS, without duplicates.
 */
async function binaries() {
  return new Set([process.execPath, ...(await Promise.all(VERSIONS.map((version) => nodeBinary(version))))]);
}

function useOn(binary, app) {
  const version = run(binary, ['--version']).trim().slice(1);
  for (const file of Object.keys(KINDS)) {
    const said = run(binary, ['--preserve-symlinks', file], app).trim();
    if (said !== 'usable') throw new Error(`${file} printed on Node ${version}: ${said}`);
  }
  console.log(`Node ${version}: ${Object.keys(KINDS).join(' and ')} ok`);
}

const fetching = binaries();
fetching.catch(() => {}); // the error is reported after the build
try {
  run('npm', ['run', '-s', 'build']);
  cpSync(join(root, 'libs/api-key'), join(work, 'library'), { recursive: true });
  run('npx', ['publint', '--strict'], join(root, 'libs/api-key'));
  run('npm', ['pack', '--silent', '--pack-destination', work], join(work, 'library'));
  const tarball = join(
    work,
    readdirSync(work).find((name) => name.endsWith('.tgz')),
  );
  const stray = run('tar', ['-tzf', tarball])
    .split('\n')
    .filter((name) => /\.spec\.|tsbuildinfo|\/src\//.test(name));
  if (stray.length > 0) throw new Error(`The tarball holds what nobody needs: ${stray.join(', ')}`);
  const app = join(work, 'app');
  unpackInto(app, tarball);
  for (const [file, imports] of Object.entries(KINDS)) writeFileSync(join(app, file), imports + USE);
  for (const binary of await fetching) useOn(binary, app);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
