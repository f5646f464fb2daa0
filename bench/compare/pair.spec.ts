import { randomFrom } from '../../test/support/random';
import { type KeyKind, type Pair, takePair, takePairs } from './pair';

describe('takePair', () => {
  it('gives both revisions the same number of turns and returns the mean of each', async () => {
    let next = 0;
    const taken: Record<keyof Pair, number[]> = { old: [], new: [] };
    const pair = await takePair(8, randomFrom(1), async (side) => {
      taken[side].push(++next);
      return next;
    });
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / 8;
    expect([taken.old.length, taken.new.length]).toEqual([8, 8]);
    expect(pair).toEqual({ old: mean(taken.old), new: mean(taken.new) });
  });

  it('draws which revision comes first in each turn', async () => {
    const order: string[] = [];
    const draws = [0.1, 0.9, 0.4];
    await takePair(
      3,
      () => draws.shift() ?? 0,
      async (side) => order.push(side),
    );
    expect(order).toEqual(['old', 'new', 'new', 'old', 'old', 'new']);
  });
});

describe('takePairs', () => {
  it('keeps as many pairs of each kind of key as the plan wants, without those of the warm-up', async () => {
    const calls: Record<KeyKind, number> = { 'no limit': 0, limit: 0 };
    const plan = { turns: 2, warmUpPairs: 3, pairs: 4 };
    const pairs = await takePairs(plan, randomFrom(1), async (_, kind) => ++calls[kind]);
    expect([pairs['no limit'].length, pairs.limit.length]).toEqual([4, 4]);
    expect(calls).toEqual({ 'no limit': 28, limit: 28 });
    expect(Math.min(...pairs.limit.map((pair) => pair.old))).toBeGreaterThan(12);
  });
});
