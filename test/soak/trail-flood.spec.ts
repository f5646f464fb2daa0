import { floodTrail } from '../support/trail-flood';

it('30 s of a flood without a key add at most queueSize events an interval to the trail, with all refusals of a real key', async () => {
  const { flooded, withKey, rows, rowsWithKey, bound, dropped } = await floodTrail(30_000, {
    queueSize: 600,
    flushIntervalMs: 1_000,
  });
  expect(flooded).toBeGreaterThan(bound);
  expect(rows).toBeLessThanOrEqual(bound);
  expect(rowsWithKey).toBe(withKey);
  expect(dropped).toEqual({
    refusedWithKey: 0,
    refusedWithoutKey: flooded + withKey - rows,
    accepted: 0,
  });
});
