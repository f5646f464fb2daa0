import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const LIBRARY = 'libs/api-key/src';

/** Files of the library's top folder that know no room and no service. */
const LEAVES = [
  'acting',
  'api-key.entity',
  'api-key.errors',
  'api-key.event',
  'api-key.input',
  'api-key.options',
  'address-list',
  'authority',
  'closed-getters',
  'error-words',
  'eventually',
  'interval-writer',
  'lineage',
  'open-api',
  'option-checks',
  'pepper.options',
  'rate-limit.options',
  'recall-cache',
  'route-access',
  'route-inventory',
  'route-method',
  'scope-catalogue',
  'scopes.decorator',
  'shared-limits',
  'store-errors',
  'write-in-time',
];
const GUARDS = [
  'api-key.guard',
  'api-key.authenticator',
  'https-rule',
  'api-key-throttler.guard',
  'scopes.guard',
  'api-key-auth.decorator',
  'api-key-refusal.filter',
  'refuse',
];

const literal = (name) => name.replaceAll('.', '\\.');
const from = (prefix, names) =>
  names.map((name) => `${literal(prefix)}${name.endsWith('/') ? literal(name) : `${literal(name)}$`}`);

/** Who may import whom: what none of `allowed` matches is a wrong arrow. Packages are free unless `packages` names them. */
function arrows(name, files, allowed, packages = ['[^.]']) {
  const regex = `^(?!${[...allowed, ...packages].join('|')})`;
  const message = `${name} may not import this: see "Who may import whom" in CONTRIBUTING.md.`;
  return {
    files,
    ignores: [`${LIBRARY}/**/*.spec.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ regex, message }] }] },
  };
}

const room = (name, allowed, packages) =>
  arrows(name, [`${LIBRARY}/${name}/**/*.ts`], ['\\./', ...from('../', allowed)], packages);
const top = (name, files, allowed) =>
  arrows(
    name,
    files.map((file) => `${LIBRARY}/${file}.ts`),
    from('./', allowed),
  );

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
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  room('credential', [], ['node:crypto$', 'node:zlib$']),
  room('database', ['credential/', ...LEAVES]),
  room('verification', ['credential/', 'database/', ...LEAVES]),
  room('audit', ['credential/', 'database/', ...LEAVES]),
  room('lifecycle', ['credential/', 'audit/', 'database/', ...LEAVES]),
  room('rate-limit', ['credential/', 'database/', ...LEAVES]),
  room('request', ['credential/', ...LEAVES]),
  room('migrations', ['credential/', 'database/', ...LEAVES]),
  room('cli', ['index']),
  room('management', ['index']),
  room('testing', ['index']),
  top('A leaf', LEAVES, ['credential/', ...LEAVES]),
  top(
    'The service',
    ['api-key.service'],
    ['credential/', 'database/', 'verification/', 'audit/', 'lifecycle/', 'rate-limit/', ...LEAVES],
  ),
  top('A guard', GUARDS, [
    'api-key.service',
    'audit/',
    'credential/',
    'rate-limit/',
    'request/',
    ...GUARDS,
    ...LEAVES,
  ]),
  {
    files: [`${LIBRARY}/**/*.ts`],
    ignores: [
      `${LIBRARY}/**/*.spec.ts`,
      `${LIBRARY}/database/**`,
      // TypeORM's executor of migrations wants a query runner.
      `${LIBRARY}/migrations/run-migrations.ts`,
      `${LIBRARY}/cli/bin.ts`,
    ],
    rules: { 'no-restricted-syntax': ['error', ...OTHER_DOORS] },
  },
  arrows(
    'Everything outside the library',
    ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.{ts,mjs}'],
    ['(?!.*libs/)\\.'],
  ),
);
