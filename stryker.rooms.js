/** What is mutated, room by room, and the specs that are to notice: those that are fast, boot no process and ask no million times. */
const ROOMS = {
  credential: {
    mutate: ['libs/api-key/src/credential/*.ts'],
    specs: ['libs/api-key/src/credential/!(fuzz).spec.ts'],
  },
  lookup: {
    mutate: ['libs/api-key/src/lookup/*.ts'],
    specs: ['libs/api-key/src/lookup/*.spec.ts'],
  },
  guards: {
    mutate: ['libs/api-key/src/**/*.guard.ts'],
    specs: [
      'libs/api-key/src/**/*.guard.spec.ts',
      'test/{guards,plaintext-key,quota,rate-limit,trail,usage,ways-in}.spec.ts',
    ],
  },
};

/** The room of this run of Stryker. */
const ROOM = process.env.STRYKER_ROOM ?? 'credential';

module.exports = { ROOMS, ROOM };
