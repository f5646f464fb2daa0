import { ancestorsOf, fitAncestors, MAX_ANCESTORS, mergeShares } from './lineage';

const ids = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));

describe('ancestors', () => {
  it('are those of each parent and the parents, oldest first, each once', () => {
    const maker = { id: '3', ancestorIds: ['1', '2'] };
    const replaced = { id: '5', ancestorIds: ['1', '4'] };
    expect(ancestorsOf([maker, replaced])).toEqual(['1', '2', '3', '4', '5']);
    expect(ancestorsOf([])).toEqual([]);
  });

  it('that fit stay as they are, ended or not', () => {
    expect(fitAncestors(ids(MAX_ANCESTORS), new Set(ids(5)), false)).toEqual(ids(MAX_ANCESTORS));
  });

  it('that have ended go first, the oldest of them, and no more than must', () => {
    const ended = new Set(['2', '4', '6']);
    expect(fitAncestors(ids(MAX_ANCESTORS + 2), ended, false)).toEqual(
      ids(MAX_ANCESTORS + 2).filter((id) => id !== '2' && id !== '4'),
    );
  });

  it('that are too many and live do not fit, unless they must', () => {
    expect(fitAncestors(ids(MAX_ANCESTORS + 2), new Set(['7']), false)).toBeNull();
    expect(fitAncestors(ids(MAX_ANCESTORS + 2), new Set(['7']), true)).toEqual(
      ids(MAX_ANCESTORS + 2).filter((id) => id !== '7' && id !== '1'),
    );
  });
});

describe('shared limits', () => {
  const share = (id: string, limit = 1) => ({ id, rateLimit: { limit, windowSeconds: 60 }, quota: null });

  it('are one a bucket, in the order they came', () => {
    expect(mergeShares([share('1'), share('2'), share('1')], null)).toEqual([share('1'), share('2')]);
  });

  it('leave out the bucket of the key itself', () => {
    expect(mergeShares([share('1'), share('2')], '1')).toEqual([share('2')]);
  });

  it('are null where there are none', () => {
    expect([mergeShares([], null), mergeShares([share('1')], '1')]).toEqual([null, null]);
  });
});
