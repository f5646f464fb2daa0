const config = require('./jest.config.js');
const { ROOMS, ROOM } = require('./stryker.rooms.js');

/** Of one room; `scripts/stryker.mjs` names it and brings the database. */
module.exports = {
  ...config,
  globalSetup: undefined,
  globalTeardown: undefined,
  testSequencer: '<rootDir>/stryker.sequencer.js',
  testMatch: ROOMS[ROOM].specs.map((spec) => `<rootDir>/${spec}`),
};
