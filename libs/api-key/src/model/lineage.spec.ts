import { ancestorsOf, ancestorsToKeep, fitAncestors, MAX_ANCESTORS, mergeShares } from './lineage';

const keyWith = (id: number, ancestorIds: readonly string[]) => ({
  id: String(id),
  ancestorIds: [...ancestorIds],
});
/** A parent with this many ancestors, all ids in order. */
const parentOf = (count: number) => [keyWith(count, ids(count - 1))];
const ids = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1));

describe('ancestors', () => {
  it('are the parents and the ancestors of each parent, oldest first, each once', () => {
    const maker = { id: '3', ancestorIds: ['1', '2'] };
    const replaced = { id: '5', ancestorIds: ['1', '4'] };
    expect(ancestorsOf([maker, replaced])).toEqual(['1', '2', '3', '4', '5']);
    expect(ancestorsOf([])).toEqual([]);
  });

  it('end with the last parent, also if another parent descends from it', () => {
    const old = { id: '1', ancestorIds: [] };
    const next = { id: '2', ancestorIds: ['1'] };
    expect(ancestorsOf([next, old])).toEqual(['2', '1']);
    expect(ancestorsOf([old, next])).toEqual(['1', '2']);
  });

  it('that fit stay in the list, ended or not', () => {
    expect(fitAncestors(parentOf(MAX_ANCESTORS), new Set(ids(5)))).toEqual(ids(MAX_ANCESTORS));
  });

  it('that have ended are removed first, oldest first, and only as many as necessary', () => {
    const ended = new Set(['2', '4', '6']);
    expect(fitAncestors(parentOf(MAX_ANCESTORS + 2), ended)).toEqual(
      ids(MAX_ANCESTORS + 2).filter((id) => id !== '2' && id !== '4'),
    );
  });

  it('that are still valid are removed only if the list must fit', () => {
    expect(ancestorsToKeep(parentOf(MAX_ANCESTORS + 2), new Set(['7']))).toEqual(
      ids(MAX_ANCESTORS + 2).filter((id) => id !== '7'),
    );
    expect(fitAncestors(parentOf(MAX_ANCESTORS + 2), new Set(['7']))).toEqual(
      ids(MAX_ANCESTORS + 2).filter((id) => id !== '7' && id !== '1'),
    );
  });
});

it('parents are never removed from the list, even if one has ended, because a revocation finds the new key by them', () => {
  const live = Array.from({ length: MAX_ANCESTORS }, (_, i) => String(i + 100));
  const parents = [keyWith(200, live), keyWith(300, [])];
  const kept = fitAncestors(parents, new Set(['300']));
  expect(kept).toHaveLength(MAX_ANCESTORS);
  expect(kept).toEqual(expect.arrayContaining(['200', '300']));
});

describe('shared limits', () => {
  const share = (id: string, limit = 1) => ({ id, rateLimit: { limit, windowSeconds: 60 }, quota: null });

  it('are one per bucket, in the given order', () => {
    expect(mergeShares([share('1'), share('2'), share('1')], null)).toEqual([share('1'), share('2')]);
  });

  it('do not contain the bucket of the key itself', () => {
    expect(mergeShares([share('1'), share('2')], '1')).toEqual([share('2')]);
  });

  it('are null if there are none', () => {
    expect([mergeShares([], null), mergeShares([share('1')], '1')]).toEqual([null, null]);
  });
});
