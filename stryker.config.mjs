import { ROOM, ROOMS } from './stryker.rooms.js';

export default {
  mutate: [...ROOMS[ROOM].mutate, '!**/*.spec.ts'],
  testRunner: 'jest',
  jest: { configFile: 'jest.stryker.config.js' },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  ignorePatterns: ['.data', 'bench', 'coverage', 'dist', 'docs', 'libs/*/dist'],
  tempDirName: '.stryker-tmp',
  reporters: ['clear-text', 'html', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, reportTests: false },
  htmlReporter: { fileName: `coverage/mutation/${ROOM}.html` },
  jsonReporter: { fileName: `coverage/mutation/${ROOM}.json` },
};
