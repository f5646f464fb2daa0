import { randomFrom } from '../../test/support/random';
import { largestCroppedT, welchT } from './welch';

const some = (count: number, random: () => number, shift = 0) =>
  Array.from({ length: count }, () => random() + shift);

it('t is the difference of the means in standard errors, each sample with its own variance', () => {
  // Means 3 and 6, variances 2.5 and 10, five values each: -3 / √(2.5/5 + 10/5).
  expect(welchT([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])).toBeCloseTo(-1.897367, 6);
  // Means 2 and 5, variances 1 and 0.5, three and two values: -3 / √(1/3 + 0.5/2).
  expect(welchT([1, 2, 3], [4.5, 5.5])).toBeCloseTo(-3.927922, 6);
});

it('t changes its sign with the order of the samples, and is 0 for equal means, also without variance', () => {
  const [a, b] = [
    [1, 2, 3, 4, 5],
    [2, 4, 6, 8, 10],
  ];
  expect(welchT(b, a)).toBeCloseTo(-welchT(a, b), 12);
  expect(welchT([1, 3], [2, 2])).toBe(0);
  expect(welchT([2, 2], [2, 2])).toBe(0);
});

it('t of less than two values is an error', () => {
  expect(() => welchT([1], [1, 2])).toThrow('variance');
});

it('A difference that a few slow measurements hide is found in the fast measurements', () => {
  const random = randomFrom(1);
  const slow = [1_000_000, 3_000_000];
  const a = [...some(5_000, random), ...slow];
  const b = [...some(5_000, random, 0.1), ...slow];
  expect(Math.abs(welchT(a, b))).toBeLessThan(4.5);
  const { t, share } = largestCroppedT(a, b);
  expect(t).toBeLessThan(-10);
  expect(share).toBeLessThan(1);
});

it('A difference only in the slow measurements is found in the remaining slow measurements', () => {
  const random = randomFrom(2);
  const a = some(5_000, random);
  const b = some(5_000, random).map((value) => (value > 0.6 ? value + 0.3 : value));
  expect(largestCroppedT(a, b).share).toBeGreaterThan(0.5);
});

it('Samples of one distribution stay below the threshold, however they are cropped', () => {
  const random = randomFrom(3);
  const largest = Array.from({ length: 50 }, () =>
    Math.abs(largestCroppedT(some(1_000, random), some(1_000, random)).t),
  );
  expect(Math.max(...largest)).toBeLessThan(4.5);
});
