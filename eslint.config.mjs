import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const LIBRARY = 'libs/api-key/src';

/**
 * Who may import whom, a line a room. A room may also import what those that it names may import.
 * The files of the top folder are rooms too.
 */
const ROOMS = {
  credential: [],
  model: ['credential'],
  options: ['model'],
  database: ['model'],
  lookup: ['database', 'options'],
  audit: ['database', 'options'],
  usage: ['database', 'options'],
  transport: ['audit'],
  routes: ['transport'],
  'rate-limit': ['routes', 'usage'],
  keys: ['audit', 'lookup'],
  authentication: ['keys', 'lookup', 'rate-limit'],
  'api-key.service': ['authentication'],
  'api-key.guard': ['authentication'],
  'api-key-auth.decorator': ['api-key.guard'],
  migrations: ['database', 'options'],
  boot: ['api-key.guard', 'migrations'],
  'api-key.module': ['api-key.service', 'api-key-auth.decorator', 'boot'],
  cli: ['index'],
  management: ['index'],
};
/** What a room may import of Node and of packages, if not everything. */
const PACKAGES = { credential: ['node:crypto$', 'node:zlib$'] };

/** A room, and all that it may import. */
function reach(room) {
  return [...new Set([room, ...ROOMS[room].flatMap((next) => (next === 'index' ? [next] : reach(next)))])];
}

/** An import that none of `allowed` matches is refused. Packages: all, or those of `packages`. */
function arrows(name, files, allowed, packages = ['[^.]']) {
  const regex = `^(?!${[...allowed, ...packages].join('|')})`;
  const message = `${name} may not import this: see "Who may import whom" in CONTRIBUTING.md.`;
  return {
    files,
    ignores: [`${LIBRARY}/**/*.spec.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ regex, message }] }] },
  };
}

const isFile = (room) => room === 'index' || room.startsWith('api-key');

const pathTo = (up, to) => `${up}${to.replaceAll('.', '\\.')}${isFile(to) ? '$' : '/'}`;

/** The line of a room, with its subfolders. */
function room(name) {
  if (isFile(name))
    return arrows(
      name,
      [`${LIBRARY}/${name}.ts`],
      reach(name).map((to) => pathTo('\\./', to)),
    );
  const allowed = reach(name).filter((to) => to !== name);
  return arrows(
    name,
    [`${LIBRARY}/${name}/**/*.ts`],
    ['\\./', ...allowed.map((to) => pathTo('(\\.\\./)+', to))],
    PACKAGES[name],
  );
}

/** Every statement goes through `database/`, which fixes what it depends on. */
const OTHER_DOORS = [
  'CallExpression[callee.property.name=/^(query|createQueryBuilder|getRepository|createQueryRunner)$/]',
  'CallExpression[callee.property.name="transaction"]:not([callee.object.name="database"], [callee.object.property.name="database"])',
].map((selector) => ({
  selector,
  message:
    'Send statements through Database of database/: see "One door to the database" in CONTRIBUTING.md.',
}));

export default defineConfig(
  {
    ignores: [
      '**/dist/**',
      '**/node_modules/**',
      'coverage/**',
      '.data/**',
      '.stryker-tmp/**',
      'test/fixtures/**',
      'scripts/pack-apps/**',
    ],
  },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: './tsconfig.spec.json', tsconfigRootDir: import.meta.dirname },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      // Comments only: the formatter breaks lines of code, and leaves comments as they are.
      'max-len': ['error', { code: 1_000, comments: 100, ignoreUrls: true }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  ...Object.keys(ROOMS).map(room),
  {
    files: [`${LIBRARY}/**/*.ts`],
    ignores: [
      `${LIBRARY}/**/*.spec.ts`,
      `${LIBRARY}/database/**`,
      // TypeORM's executor of migrations wants a query runner.
      `${LIBRARY}/migrations/run-migrations.ts`,
      `${LIBRARY}/cli/application-database.ts`,
    ],
    rules: { 'no-restricted-syntax': ['error', ...OTHER_DOORS] },
  },
  arrows(
    'Everything outside the library',
    ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.{ts,mjs}'],
    ['(?!.*libs/)\\.'],
  ),
);
