import { randomFrom } from '../../test/support/random';
import { compare, medianDifference, verdictOn } from './comparison';

const BLOCKS = 100;
const PER_BLOCK = 21;

/**
 * Returns blocks of values in which each block is slower than the block before, as on a machine
 * that becomes busier.
 */
function drifting(random: () => number, shift: number): number[][] {
  return Array.from({ length: BLOCKS }, (_, block) =>
    Array.from({ length: PER_BLOCK }, () => 10 * block + random() + shift),
  );
}

it('The interval contains the true difference of at least nine in ten samples, even if all blocks differ', () => {
  const random = randomFrom(1);
  const held = Array.from({ length: 200 }, () => {
    const { low, high } = medianDifference(drifting(random, 0), drifting(random, 0.25));
    return low <= -0.25 && -0.25 <= high;
  });
  expect(held.filter(Boolean).length).toBeGreaterThanOrEqual(180);
});

it('The difference is the first value minus the second', () => {
  const { median, low, high } = medianDifference([[5], [15], [25]], [[2], [12], [22]]);
  expect([median, low, high]).toEqual([3, 3, 3]);
});

const CLOSE = { median: 0, low: -0.9, high: 0.9 };
const FAR = { median: 5, low: 4, high: 6 };
const NONE = { t: 0, share: 0.5 };

it.each([
  ['no difference', 'a million whose t is small, however wide the interval', 1_000_000, FAR, 4.4, NONE],
  ['below 1 µs', 'fewer, whose interval is narrow', 999_999, CLOSE, 4.4, NONE],
  ['too few to say', 'fewer whose t is small, and the interval wide', 999_999, FAR, 4.4, NONE],
  ['below 1 µs', 'a large t, and the interval narrow', 1_000_000, CLOSE, -40, NONE],
  ['TOLD APART', 'a large t, and the interval wide', 1_000_000, FAR, -4.5, NONE],
  ['TOLD APART', 'a large t where cropped', 1_000_000, FAR, 0, { t: -4.6, share: 0.5 }],
  ['too few to say', 'an interval that reaches 1', 10, { median: 0, low: -0.9, high: 1 }, 0, NONE],
  ['too few to say', 'an interval that reaches -1', 10, { median: 0, low: -1, high: 0.9 }, 0, NONE],
] as const)('%s: %s', (verdict, _, measurements, difference, t, cropped) => {
  expect(verdictOn({ measurements, difference, t, cropped })).toBe(verdict);
});

it('Of four kinds only the slower kind is distinguished from the others', () => {
  const random = randomFrom(2);
  const [unknown, revoked, expired, ownerless] = [0, 100, 0, 0].map((shift) => drifting(random, shift));
  const blocks = Array.from({ length: BLOCKS }, (_, i) => ({
    unknown: unknown?.[i] ?? [],
    revoked: revoked?.[i] ?? [],
    expired: expired?.[i] ?? [],
    ownerless: ownerless?.[i] ?? [],
  }));
  const compared = compare(blocks);
  expect(compared.map(({ kinds, verdict }) => [...kinds, verdict])).toEqual([
    ['unknown', 'revoked', 'TOLD APART'],
    ['unknown', 'expired', 'below 1 µs'],
    ['unknown', 'ownerless', 'below 1 µs'],
    ['revoked', 'expired', 'TOLD APART'],
    ['revoked', 'ownerless', 'TOLD APART'],
    ['expired', 'ownerless', 'below 1 µs'],
  ]);
  expect(compared.map(({ measurements }) => measurements)).toEqual(Array(6).fill(2 * BLOCKS * PER_BLOCK));
});
