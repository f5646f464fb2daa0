import { createMigratedDatabase, createUser } from '../support/database';
import { flush, lastUsedInstance, playSchedules } from '../support/last-use-schedules';
import { watchStatements } from '../support/statements';

it('of ten thousand random schedules of uses, flushes, updates and revocations none loses an update, undoes a revocation or sets a use back', async () => {
  const outcome = await playSchedules(await createMigratedDatabase(), 100);
  for (const times of Object.values(outcome)) expect(times).toBeGreaterThan(1_000);
});

it('a million authentications of a hundred keys within a minute send six UPDATE statements, and one at shutdown', async () => {
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'setTimeout', 'performance', 'Date'],
  });
  try {
    const database = await createMigratedDatabase();
    const userId = await createUser(database);
    const app = await lastUsedInstance(database, 10_000);
    const keys: string[] = [];
    while (keys.length < 100) keys.push((await app.keys.create({ userId, name: 'ci' })).key);
    const statements = watchStatements();
    const sent = (statement: RegExp) => statements.texts().filter((text) => statement.test(text)).length;
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 16_667; i++) await app.keys.authenticate(keys[i % keys.length]);
      jest.advanceTimersByTime(1_000);
      await new Promise(setImmediate);
      if (second % 10 === 9) await flush(app);
    }
    await app.close();
    expect([6, 7]).toContain(sent(/UPDATE \S+ k SET/));
    expect(sent(/INSERT INTO \S*usage/)).toBeLessThanOrEqual(2);
    statements.restore();
  } finally {
    jest.useRealTimers();
  }
});
