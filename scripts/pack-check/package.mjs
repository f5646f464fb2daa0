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
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const LIBRARY = join(ROOT, 'libs/api-key');

/** What an application does with the package, as CommonJS and as an ES module. */
const USE = `
class Empty {}
ApiKeyModule.forRoot({ prefix: 'acme_live' });
if (apiKeyMigrations().length === 0 || !new ApiKey() || !ApiKeyAuth('orders:read')) throw new Error('not usable');
if (typeof runKeysCli !== 'function') throw new Error('no command line');
ApiKeyManagementModule.forRoot({ guards: 'open' });
console.log('usable');
`;
const NAMES = 'ApiKey, ApiKeyAuth, ApiKeyModule, apiKeyMigrations';
export const KINDS = {
  'app.cjs': `require('reflect-metadata');\nconst { ${NAMES} } = require('nestjs-api-key');\nconst { runKeysCli } = require('nestjs-api-key/cli');\nconst { ApiKeyManagementModule } = require('nestjs-api-key/management');`,
  'app.mjs': `import 'reflect-metadata';\nimport { ${NAMES} } from 'nestjs-api-key';\nimport { runKeysCli } from 'nestjs-api-key/cli';\nimport { ApiKeyManagementModule } from 'nestjs-api-key/management';`,
};

/** @throws Error with what the program printed */
function run(program, args, cwd = ROOT) {
  try {
    return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')} failed:\n${error.stdout}${error.stderr}`);
  }
}

/** Builds and packs the library, and returns the path of the tarball. */
export function pack(work) {
  run('npm', ['run', '-s', 'build']);
  cpSync(LIBRARY, join(work, 'library'), { recursive: true });
  run('npm', ['pack', '--silent', '--pack-destination', work], join(work, 'library'));
  const name = readdirSync(work).find((each) => each.endsWith('.tgz'));
  return join(work, name);
}

/** Checks of the tarball, by name. */
export const TARBALL_CHECKS = {
  publint: () => run('npx', ['publint', '--strict'], LIBRARY),
  'are-the-types-wrong': (tarball) => run('npx', ['attw', tarball]),
  files: (tarball) => {
    const stray = run('tar', ['-tzf', tarball])
      .split('\n')
      .filter((name) => /\.spec\.|tsbuildinfo|\/src\//.test(name));
    if (stray.length > 0) throw new Error(`The tarball holds what nobody needs: ${stray.join(', ')}`);
  },
};

/**
 * Makes an application with the unpacked tarball and the packages of the repository.
 * @param missing packages that the application does not have
 */
export function linkedApplication(work, tarball, missing = []) {
  const app = mkdtempSync(join(work, 'linked-'));
  const modules = join(app, 'node_modules');
  mkdirSync(join(modules, 'nestjs-api-key'), { recursive: true });
  run('tar', ['-xzf', tarball, '-C', join(modules, 'nestjs-api-key'), '--strip-components=1']);
  for (const from of [join(ROOT, 'node_modules'), join(LIBRARY, 'node_modules')])
    for (const name of existsSync(from) ? readdirSync(from) : [])
      if (name !== 'nestjs-api-key' && !name.startsWith('.')) link(from, name, modules, missing);
  return app;
}

/** Links a package, or each package of a scope. */
function link(from, name, modules, missing) {
  if (/^@[^/]+$/.test(name)) {
    mkdirSync(join(modules, name), { recursive: true });
    for (const inner of readdirSync(join(from, name))) link(from, `${name}/${inner}`, modules, missing);
    return;
  }
  rmSync(join(modules, name), { recursive: true, force: true });
  if (!missing.includes(name)) symlinkSync(join(from, name), join(modules, name));
}

/** Loads the package on a version of Node, as CommonJS and as an ES module. */
export function loadOn(node, app) {
  for (const [file, imports] of Object.entries(KINDS)) {
    writeFileSync(join(app, file), imports + USE);
    const said = run(node, ['--preserve-symlinks', file], app).trim();
    if (said !== 'usable') throw new Error(`${file} printed: ${said}`);
  }
}

/** Runs code in an application that lacks packages, and compares its error. */
export function checkAbsent({ missing, code, says }, work, tarball) {
  const app = linkedApplication(work, tarball, missing);
  writeFileSync(
    join(app, 'app.cjs'),
    `require('reflect-metadata');\ntry {${code}\n} catch (error) { console.log(error.message); }`,
  );
  const printed = run(process.execPath, ['--preserve-symlinks', 'app.cjs'], app).trim();
  if (printed !== (says ?? '')) throw new Error(`printed: ${printed}\nexpected: ${says ?? 'nothing'}`);
}
