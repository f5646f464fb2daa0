import { createMigratedDatabase } from './support/database';
import { playSchedules } from './support/last-use-schedules';

it('of random schedules of uses, flushes, updates and revocations none loses an update, undoes a revocation or sets a use back', async () => {
  const outcome = await playSchedules(await createMigratedDatabase(), 3);
  for (const times of Object.values(outcome)) expect(times).toBeGreaterThan(0);
});
