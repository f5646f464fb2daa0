import fc from 'fast-check';
import { bootApp } from './support/app';
import { DEFAULT_RATE } from './support/authority-model';
import { interleavings, type Place, sequences, switchings } from './support/authority-properties';
import { createMigratedDatabase } from './support/database';

let place: Place;

beforeAll(async () => {
  const database = await createMigratedDatabase();
  const boot = () => bootApp({ database, connectTimeoutMs: 60_000, options: { rateLimit: DEFAULT_RATE } });
  place = { database, apps: [await boot(), await boot()] };
});
afterAll(() => Promise.all(place.apps.map((app) => app.close())));

it('No key has more than the keys that created it had, after each step of random sequences', async () => {
  await fc.assert(sequences(place), { numRuns: 6 });
});

it('No key enables what it may not enable, after each step of random sequences of disabled and enabled keys', async () => {
  await fc.assert(switchings(place), { numRuns: 6 });
});

it('No key has more than the keys that created it had, whatever two applications do at the same time', async () => {
  await fc.assert(interleavings(place), { numRuns: 8 });
});
