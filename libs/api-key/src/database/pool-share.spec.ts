import { type Kind, rankOf, shareOf } from './pool-share';

/** How many transactions of one kind run at once beside those that run already. */
function most(kind: Kind, share: number, others: Partial<Record<Kind, number>> = {}): number {
  const running = new Map(Object.entries(others) as [Kind, number][]);
  const before = running.get(kind) ?? 0;
  while (rankOf(kind, share, running) !== null) running.set(kind, (running.get(kind) ?? 0) + 1);
  return (running.get(kind) ?? 0) - before;
}

it.each([
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 2],
  [10, 5],
  [100, 50],
])('of a pool of %i connections, all transactions together use at most %i', (poolMax, share) => {
  expect(shareOf(poolMax)).toBe(share);
  for (const kind of ['ending', 'background', 'change', 'read', 'ending again', 'change again'] as const)
    expect(most(kind, share)).toBeLessThanOrEqual(share);
});

it('endings may use the whole share, and every other kind leaves at least one connection', () => {
  expect(most('ending', 5)).toBe(5);
  expect(most('ending again', 5)).toBe(4);
  expect([most('background', 5), most('change', 5), most('read', 5)]).toEqual([3, 3, 3]);
  expect(most('change again', 5)).toBe(2);
});

it('changes that wait for locks leave a connection to other changes, to reads and to endings', () => {
  expect(most('change', 5, { 'change again': 2 })).toBe(1);
  expect(most('read', 5, { 'change again': 2, change: 1 })).toBe(1);
  expect(most('ending', 5, { 'change again': 2, change: 1, read: 1 })).toBe(1);
});

it('a share of one connection is for one transaction of any kind', () => {
  for (const kind of ['ending', 'background', 'change', 'read', 'ending again', 'change again'] as const) {
    expect(most(kind, 1)).toBe(1);
    expect(most(kind, 1, { change: 1 })).toBe(0);
  }
});

it('endings go first, then writes in the background, then changes and reads, then changes that were tried before', () => {
  const ranks = (['ending', 'background', 'change', 'read', 'ending again', 'change again'] as const).map(
    (kind) => rankOf(kind, 5, new Map()),
  );
  expect(ranks).toEqual([0, 1, 2, 2, 2, 3]);
});
