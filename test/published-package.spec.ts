import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { temporaryFolder } from './support/folder';

const ROOT = join(__dirname, '..');
const LIBRARY = join(ROOT, 'libs/api-key');
const PACKAGE = JSON.parse(readFileSync(join(LIBRARY, 'package.json'), 'utf8'));

/** Loads a file of the application, whose name the user gives. No bundler needs to know it. */
const LOADS_FILES = 'cli/load-file.js';
/** Peers that every Nest application has. */
const OF_NEST = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];

const SUBPATHS = Object.keys(PACKAGE.exports)
  .filter((path) => path !== './package.json')
  .map((path) => path.replace('.', 'nestjs-api-key'));

const { Node10, Node16, NodeNext, Bundler } = ts.ModuleResolutionKind;

it.each([
  ['node10', Node10],
  ['node16', Node16],
  ['nodenext', NodeNext],
  ['bundler', Bundler],
])('TypeScript finds the types of every entry of the package with moduleResolution %s', (_, moduleResolution) => {
  const from = join(ROOT, 'src/app.module.ts');
  const typesOf = (name: string) =>
    ts.resolveModuleName(name, from, { moduleResolution }, ts.sys).resolvedModule?.resolvedFileName;
  expect(SUBPATHS.map(typesOf)).toEqual(
    ['index', 'cli/index', 'management/index'].map((name) => join(LIBRARY, 'dist', `${name}.d.ts`)),
  );
});

it('a bundler finds every package that the library loads, because each call names a literal', () => {
  const files = readdirSync(join(LIBRARY, 'dist'), { recursive: true, encoding: 'utf8' });
  const calls = files
    .filter((name) => name.endsWith('.js') && name !== LOADS_FILES)
    .flatMap((name) => {
      const text = readFileSync(join(LIBRARY, 'dist', name), 'utf8');
      return [...text.matchAll(/(?:(?<![\w.])require|(?:await|return|=>|=) import)\(([^)]*)\)/g)].map(
        ([, argument]) => `${argument}`,
      );
    });
  expect(calls.length).toBeGreaterThan(100);
  expect(calls.filter((argument) => !/^(["'])[\w@./:-]+\1$/.test(argument))).toEqual([]);
});

it.each([
  'README.md',
  'docs/getting-started.md',
  'libs/api-key/README.md',
])('%s says how to install all packages that every application needs', (page) => {
  const [, packages = ''] = /^npm install (.+)$/m.exec(readFileSync(join(ROOT, page), 'utf8')) ?? [];
  const optional = Object.keys(PACKAGE.peerDependenciesMeta);
  const required = Object.keys(PACKAGE.peerDependencies).filter(
    (name) => ![...OF_NEST, ...optional].includes(name),
  );
  expect(packages.split(' ').sort()).toEqual(['nestjs-api-key', ...required].sort());
});

it('README.md names the packages about which npm ci warns on Node 20', () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const needsNewer = (range = '') => range.split('||').every((one) => Number(/\d+/.exec(one)?.[0] ?? 0) > 20);
  const refusing = Object.entries<{ engines?: { node?: string } }>(packages)
    .filter(([, { engines }]) => needsNewer(engines?.node))
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  const [, named = ''] =
    /`EBADENGINE`\) about (.+), which Nest/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];
  expect(refusing.sort()).toEqual([...named.matchAll(/`([^`]+)`/g)].map(([, name]) => name).sort());
});

it('the package has code, types, source maps with their sources, licence and page, and no test', () => {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: LIBRARY,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as [{ files: { path: string }[] }];
  const files = packed.files.map(({ path }) => path);
  const other = files.filter((path) => !/^dist\/.+(?<!\.spec)\.(?:js|js\.map|d\.ts)$/.test(path));
  expect(other.sort()).toEqual(['LICENSE', 'README.md', 'package.json']);
  for (const path of files.filter((path) => path.endsWith('.map'))) {
    const { sourcesContent } = JSON.parse(readFileSync(join(LIBRARY, path), 'utf8'));
    expect(sourcesContent).toEqual([expect.any(String)]);
  }
});

it('the newest section of the changelog is the version of the package', () => {
  const [, newest] = /^## (.+)$/m.exec(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')) ?? [];
  expect(newest).toBe(PACKAGE.version);
});

describe('the page of the package on npm', () => {
  const linksOf = (folder: string) =>
    [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/\]\(([^)#]+)/g)].map(([, to]) =>
      String(to),
    );

  it('links to files of the repository', () => {
    const links = linksOf(LIBRARY).filter((to) => !to.startsWith('https:'));
    expect(links.length).toBeGreaterThan(10);
    expect(links.filter((to) => !existsSync(join(LIBRARY, to)))).toEqual([]);
  });

  it('has links to the released version after the release was prepared, and the package names its repository', () => {
    const [folder, address] = [temporaryFolder(), 'https://example.com/owner/name'];
    for (const name of ['package.json', 'README.md']) cpSync(join(LIBRARY, name), join(folder, name));
    execFileSync(process.execPath, ['scripts/prepare-release.mjs', address, 'v0.1.0', folder], { cwd: ROOT });
    for (const to of linksOf(folder)) expect(to).toMatch(/^https:/);
    expect(linksOf(folder)).toContain(`${address}/blob/v0.1.0/docs/keys.md`);
    const prepared = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    expect(prepared).toMatchObject({
      ...PACKAGE,
      repository: { type: 'git', url: `git+${address}.git`, directory: 'libs/api-key' },
    });
  });
});
