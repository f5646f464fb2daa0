/**
 * What a transaction is for.
 * - `ending`: ends keys, which must not wait for other work
 * - `background`: a write that no caller waits for; at most a few at a time
 * - `change`, `read`: everything else that callers ask for
 * - `ending again`, `change again`: tried before, but a lock was not free
 */
export type Kind = 'ending' | 'background' | 'change' | 'read' | 'ending again' | 'change again';

/** Who goes first. Kinds of one rank go in the order of their arrival. */
const RANKS: Readonly<Record<Kind, number>> = {
  ending: 0,
  background: 1,
  change: 2,
  read: 2,
  'ending again': 2,
  'change again': 3,
};

/**
 * Which kinds leave how many of the connections to others. Who waits for a lock keeps a connection,
 * so that each kind leaves one to the kinds that it must not delay.
 */
const LEAVE: readonly { readonly kinds: readonly Kind[]; readonly free: number }[] = [
  { kinds: ['ending', 'background', 'change', 'read', 'ending again', 'change again'], free: 0 },
  { kinds: ['background', 'change', 'read', 'ending again', 'change again'], free: 1 },
  { kinds: ['background'], free: 2 },
  { kinds: ['read'], free: 2 },
  { kinds: ['change', 'change again'], free: 2 },
  { kinds: ['change again'], free: 3 },
];

/**
 * How many connections of a pool all kinds may use together: half of it. The other half is for
 * look-ups of keys, for `loadUser` and for the application.
 */
export function shareOf(poolMax: number): number {
  return Math.max(1, Math.floor(poolMax / 2));
}

/**
 * The rank of a kind among those that wait; null: it must wait on.
 * @param share connections for all kinds
 * @param running how many transactions of each kind run now
 */
export function rankOf(kind: Kind, share: number, running: ReadonlyMap<Kind, number>): number | null {
  const isFull = LEAVE.some(
    ({ kinds, free }) => kinds.includes(kind) && countOf(kinds, running) >= Math.max(1, share - free),
  );
  return isFull ? null : RANKS[kind];
}

function countOf(kinds: readonly Kind[], running: ReadonlyMap<Kind, number>): number {
  return kinds.reduce((count, kind) => count + (running.get(kind) ?? 0), 0);
}
