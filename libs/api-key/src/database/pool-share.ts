/**
 * Purpose of a transaction.
 * - `ending`: ends keys, and must not wait for other work
 * - `background`: a write that no caller waits for; only a few run at a time
 * - `change`, `read`: all other changes and reads of callers
 * - `ending again`, `change again`: a retry after an attempt failed, for example at a lock
 */
export type Kind = 'ending' | 'background' | 'change' | 'read' | 'ending again' | 'change again';

/**
 * Ranks of the kinds; lower ranks run first. Transactions of the same rank run in the order of
 * their arrival.
 */
const RANKS: Readonly<Record<Kind, number>> = {
  ending: 0,
  background: 1,
  change: 2,
  read: 2,
  'ending again': 2,
  'change again': 3,
};

/**
 * Number of connections that groups of kinds leave free for other kinds. A transaction that waits
 * for a lock keeps its connection. So each kind leaves a connection for the kinds that it must not
 * delay.
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
 * Returns how many connections of a pool all kinds may use together: half of the pool. The other
 * half is for look-ups of keys, for `loadUser` and for the application.
 */
export function shareOf(poolMax: number): number {
  return Math.max(1, Math.floor(poolMax / 2));
}

/**
 * Returns the rank of a kind, or null if transactions of this kind must continue to wait.
 * @param share number of connections for all kinds
 * @param running number of running transactions of each kind
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
