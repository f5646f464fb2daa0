const { readFileSync } = require('node:fs');

const needsDatabase = ({ path }) => readFileSync(path, 'utf8').includes('/support/database');

/** Specs that need no database come first: most mutants need no other, for the first spec that fails is the last. */
module.exports = class {
  sort(tests) {
    return [...tests].sort((a, b) => needsDatabase(a) - needsDatabase(b));
  }

  cacheResults() {}
};
