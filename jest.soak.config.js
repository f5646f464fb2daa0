const config = require('./jest.config.js');

/** What soaks, kills, fuzzes by the million, starts fleets or measures: too long for `npm test`. */
module.exports = {
  ...config,
  testMatch: ['<rootDir>/test/soak/**/*.spec.ts', '<rootDir>/libs/*/src/**/*.soak.spec.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 900_000,
  // Its figures are of a machine that does one thing, or nearly.
  maxWorkers: 2,
};
