import { randomFrom } from '../../test/support/random';
import type { Pair } from './pair';
import { medianAllocations, ratioOf } from './ratio';

/**
 * Returns a launch in which the new code is slower by a factor, on a machine that becomes slower.
 */
function launchOf(random: () => number, factor: number): Pair[] {
  return Array.from({ length: 20 }, (_, i) => {
    const noise = 1 + i;
    return { old: noise * (1 + random() / 50), new: noise * factor * (1 + random() / 50) };
  });
}

describe('ratioOf', () => {
  it('is the median of the launches, each the median of its pairs', () => {
    const launches = [[{ old: 2, new: 3 }], [{ old: 2, new: 4 }], [{ old: 1, new: 4 }]];
    expect(ratioOf(launches)).toEqual({ median: 2, low: 1.5, high: 4, micros: { old: 2, new: 4 } });
  });

  it('has an interval that contains the true ratio in 9 of 10 samples, even if launches differ', () => {
    const random = randomFrom(1);
    const samples = Array.from({ length: 200 }, () =>
      ratioOf(Array.from({ length: 16 }, () => launchOf(random, 1.05 * (0.97 + random() * 0.06)))),
    );
    const held = samples.filter(({ low, high }) => low <= 1.05 && 1.05 <= high);
    expect(held.length).toBeGreaterThanOrEqual(180);
  });

  it('throws if there is no launch, or a launch without a pair', () => {
    expect(() => ratioOf([])).toThrow('nothing');
    expect(() => ratioOf([[]])).toThrow('nothing');
  });
});

describe('medianAllocations', () => {
  it('takes the median of each figure on its own', () => {
    const launches = [1, 5, 3].map((n) => ({
      old: { bytes: n, promises: 10 - n },
      new: { bytes: 2 * n, promises: n },
    }));
    expect(medianAllocations(launches)).toEqual({
      old: { bytes: 3, promises: 7 },
      new: { bytes: 6, promises: 3 },
    });
  });

  it('is null if no launch measured allocations', () => {
    expect(medianAllocations([])).toBeNull();
  });
});
