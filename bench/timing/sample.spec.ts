import { randomFrom } from '../../test/support/random';
import { KINDS } from './kinds';
import { takeSample } from './sample';
import { AT_ONCE } from './ways';

const KEYS = { unknown: ['u1', 'u2'], revoked: ['r1', 'r2'], expired: ['e1', 'e2'], ownerless: ['o1', 'o2'] };
const COUNT = 1_200;

/** Takes a sample in which every key is answered at once. Returns the presented keys in order. */
async function askedFor(seed: number): Promise<string[]> {
  const asked: string[] = [];
  const prepare = (key: string) => async () => {
    asked.push(key);
  };
  await takeSample({ ...plan({ prepare }), random: randomFrom(seed) });
  return asked;
}

function plan({ prepare }: { prepare: (key: string) => () => Promise<void> }) {
  const way = { name: 'test', prepare, close: async () => {} };
  return { way, keys: KEYS, count: COUNT, random: randomFrom(1), leak: null };
}

it('Every kind is measured equally often, and every key is used', async () => {
  const blocks = await takeSample(plan({ prepare: () => async () => {} }));
  for (const kind of KINDS) expect(blocks.flatMap((block) => block[kind])).toHaveLength(COUNT / KINDS.length);
  expect(new Set(await askedFor(1))).toEqual(new Set(Object.values(KEYS).flat()));
});

it('The order is random, and the same for the same seed', async () => {
  const [first, again, other] = [await askedFor(1), await askedFor(1), await askedFor(2)];
  expect(again).toEqual(first);
  expect(other).not.toEqual(first);
  expect(first.slice(0, 12).map((key) => key[0])).not.toEqual([...'uuurrreeeooo']);
});

it('A key that is not refused ends the measurement', async () => {
  const accepted = () => Promise.reject(new Error('accepted'));
  await expect(takeSample(plan({ prepare: () => accepted }))).rejects.toThrow('accepted');
});

/**
 * Number of slow requests at the start of the sample. They suffice to have many requests in flight.
 * If all requests were slow, the test would take minutes on a busy machine.
 */
const SLOW = 5 * AT_ONCE;

it('At most the given number of requests is in flight at once', async () => {
  let [now, most, asked] = [0, 0, 0];
  const prepare = () => async () => {
    most = Math.max(most, ++now);
    const isSlow = asked++ < SLOW;
    for (let turns = 0; isSlow && turns < AT_ONCE; turns++) await new Promise(setImmediate);
    now -= 1;
  };
  await takeSample({ ...plan({ prepare }), count: 12_900 });
  expect(most).toBe(AT_ONCE);
});

it('The preparation of the next turn ends before the next request', async () => {
  const told: string[] = [];
  const prepare = () => async () => {
    told.push('asked');
    setImmediate(() => told.push('turned'));
  };
  await takeSample(plan({ prepare }));
  await new Promise(setImmediate);
  expect(told).toEqual(Array.from(told, (_, i) => (i % 2 === 0 ? 'asked' : 'turned')));
});
