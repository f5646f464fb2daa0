import { randomFrom } from '../../test/support/random';
import { KINDS } from './kinds';
import { takeSample } from './sample';

const KEYS = { unknown: ['u1', 'u2'], revoked: ['r1', 'r2'], expired: ['e1', 'e2'] };
const COUNT = 900;

/** What is asked for, by a way that answers at once. */
async function askedFor(seed: number): Promise<string[]> {
  const asked: string[] = [];
  const prepare = (key: string) => () => {
    asked.push(key);
    return null;
  };
  await takeSample({ ...plan({ prepare }), random: randomFrom(seed) });
  return asked;
}

function plan({ prepare }: { prepare: (key: string) => () => Promise<void> | null }) {
  const way = { name: 'test', isRemembered: true, prepare, close: async () => {} };
  return { way, keys: KEYS, count: COUNT, random: randomFrom(1), leak: null };
}

it('Every kind is measured as often, and every key is used', async () => {
  const blocks = await takeSample(plan({ prepare: () => () => null }));
  for (const kind of KINDS) expect(blocks.flatMap((block) => block[kind])).toHaveLength(COUNT / 3);
  expect(new Set(await askedFor(1))).toEqual(new Set(Object.values(KEYS).flat()));
});

it('The order is random, and the same for the same seed', async () => {
  const [first, again, other] = [await askedFor(1), await askedFor(1), await askedFor(2)];
  expect(again).toEqual(first);
  expect(other).not.toEqual(first);
  expect(first.slice(0, 9).map((key) => key[0])).not.toEqual([...'uuurrreee']);
});

it('A key that should be remembered and had to be looked up is asked for once more, and measured then', async () => {
  let asked = 0;
  const prepare = () => () => {
    asked += 1;
    return asked % 10 === 0 ? Promise.resolve() : null;
  };
  const blocks = await takeSample(plan({ prepare }));
  const measured = blocks.flatMap((block) => KINDS.flatMap((kind) => block[kind])).length;
  expect(measured).toBe(COUNT);
  expect(asked - Math.floor(asked / 10)).toBe(COUNT + COUNT / 100);
});

it('A key that is not refused ends the measurement', async () => {
  const accepted = () => Promise.reject(new Error('accepted'));
  await expect(takeSample(plan({ prepare: () => accepted }))).rejects.toThrow('accepted');
});
