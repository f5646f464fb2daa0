/** Versions of Node on which each application runs. The oldest is that of `engines`. */
export const NODES = ['20.19', '22', '24', '26'];

/** What an application also installs for the REST endpoints: docs/management-api.md. */
const FOR_MANAGEMENT = 'npm install class-validator class-transformer';

/**
 * Applications in `scripts/pack-apps`, a folder each, with the files of folder `common`. The README
 * is followed in it, then the module of the folder replaces that of the README. Bundles have a
 * module of their own, because they must name the driver.
 * - `installs`: lines after those of the README
 * - `builds`: line that builds, file that starts the server, words that start the command line.
 *   `alone`: the built folder runs without `node_modules`.
 * - `tests`: a line that runs tests of the application
 * - `isQuick`: part of `npm run pack:check` without `--all`
 */
export const APPS = [
  {
    name: 'nest-11-commonjs',
    about: 'Nest 11, CommonJS, moduleResolution node10, skipLibCheck false',
    installs: [FOR_MANAGEMENT],
    builds: [compiled()],
    nodes: NODES,
    isQuick: true,
  },
  {
    name: 'nest-11-fastify',
    about: 'Nest 11, Fastify, TypeORM 0.3',
    installs: [FOR_MANAGEMENT],
    builds: [compiled()],
    nodes: NODES,
  },
  {
    name: 'nest-12-esm',
    about: 'Nest 12 as `nest new` makes it, ES module, Vitest',
    installs: [FOR_MANAGEMENT],
    builds: [compiled()],
    tests: 'npm run test:e2e',
    nodes: NODES,
  },
  {
    name: 'bundles',
    about: 'Nest 12 with its packages in one file',
    installs: [FOR_MANAGEMENT],
    builds: [
      bundled('webpack', '.cjs', true),
      bundled('esbuild', '.mjs', true),
      bundled('swc', '.js', false),
    ],
    nodes: ['22'],
  },
];

function compiled() {
  const commands = ['npx', 'nestjs-api-key', '--app', 'dist/app.module.js'];
  return { name: 'tsc', line: 'npm run build', server: 'dist/main.js', commands };
}

function bundled(name, ending, alone) {
  const folder = `out/${name}`;
  const commands = ['node', `${folder}/keys${ending}`];
  return {
    name,
    line: `npm run build:${name}`,
    server: `${folder}/main${ending}`,
    commands,
    alone: alone && folder,
  };
}
