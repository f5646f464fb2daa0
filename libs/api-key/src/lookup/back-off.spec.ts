import { BackOff } from './back-off';

const waits = (random: number, held: readonly number[]) => {
  const backOff = new BackOff(() => random);
  return held.map((ms) => backOff.next(ms));
};

it('each wait is twice the one before, up to five seconds, and at least half of that by chance', () => {
  const never = Array(8).fill(0);
  expect(waits(0, never)).toEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
  expect(waits(0.5, never)).toEqual([75, 150, 300, 600, 1_200, 2_400, 3_750, 3_750]);
});

it('it begins anew after what held for longer than five seconds, and not before', () => {
  expect(waits(0, [0, 0, 5_000, 5_001, 0])).toEqual([50, 100, 200, 50, 100]);
});

it('by itself it waits by chance, from half to whole', () => {
  const first = Array.from({ length: 100 }, () => new BackOff().next(0));
  expect(Math.min(...first)).toBeGreaterThanOrEqual(50);
  expect(Math.max(...first)).toBeLessThan(100);
  expect(new Set(first).size).toBeGreaterThan(1);
});
