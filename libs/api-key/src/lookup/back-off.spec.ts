import { BackOff } from './back-off';

const waits = (random: number, held: readonly number[]) => {
  const backOff = new BackOff(() => random);
  return held.map((ms) => backOff.next(ms));
};

it('each wait is a random half to whole of twice the wait before, up to five seconds', () => {
  const never = Array(8).fill(0);
  expect(waits(0, never)).toEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
  expect(waits(0.5, never)).toEqual([75, 150, 300, 600, 1_200, 2_400, 3_750, 3_750]);
});

it('the back-off restarts only after a connection that lasted longer than five seconds', () => {
  expect(waits(0, [0, 0, 5_000, 5_001, 0])).toEqual([50, 100, 200, 50, 100]);
});

it('the default wait is random, from half to the whole', () => {
  const first = Array.from({ length: 100 }, () => new BackOff().next(0));
  expect(Math.min(...first)).toBeGreaterThanOrEqual(50);
  expect(Math.max(...first)).toBeLessThan(100);
  expect(new Set(first).size).toBeGreaterThan(1);
});
