import fc from 'fast-check';
import type { Acting, ApiKey, ApiKeyService, CreateApiKeyInput, UpdateApiKeyInput } from 'nestjs-api-key';
import { Client } from 'pg';
import type { TestApp } from './app';
import { ancestorsOf, beyond, deleteRow, type Row, rowsOf, sharesAmiss } from './authority-model';
import { createUser, sql } from './database';

/** A database and the apps on this database. The steps use the apps in rotation. */
export interface Place {
  readonly database: string;
  readonly apps: readonly TestApp[];
}

/**
 * One operation on a key. A number selects a key by its position in creation order, modulo the
 * number of keys.
 */
interface Step {
  readonly at: number;
  /** Number of the acting key. `null` if the application acts. */
  readonly by: number | null;
  readonly does:
    | 'create'
    | 'update'
    | 'rotate'
    | 'disable'
    | 'enable'
    | 'revoke'
    | 'revokeAll'
    | 'delete'
    | 'expire';
  readonly to: number;
  readonly withDescendants: boolean;
  readonly fields: object;
}

const maybe = <T>(...values: T[]) => fc.constantFrom(undefined, undefined, ...values);
const FIELDS = fc
  .record({
    scopes: maybe(['*'], ['a:*'], ['a:x'], ['a:x', 'b'], ['c'], []),
    rateLimit: maybe(
      null,
      { limit: 5, windowSeconds: 60 },
      { limit: 20, windowSeconds: 60 },
      { limit: 2, windowSeconds: 10 },
    ),
    quota: maybe(null, { limit: 3, period: 'day' }, { limit: 50, period: 'month' }),
    allowedIps: maybe(null, ['10.0.0.0/8'], ['10.1.0.0/16'], ['10.1.0.0/16', '192.0.2.0/24']),
    expiresAt: maybe(null, new Date('2098-06-01'), new Date('2099-06-01')),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));

/**
 * Creates a generator of steps.
 * @param targets number of keys that a step may change, counted from the oldest key
 */
const step = (does: readonly Step['does'][], targets = 10): fc.Arbitrary<Step> =>
  fc.record({
    at: fc.nat(1),
    by: fc.option(fc.nat(9), { freq: 4 }),
    does: fc.constantFrom(...does),
    to: fc.nat(targets - 1),
    withDescendants: fc.boolean(),
    fields: FIELDS,
  });

const ALONE = [
  'create',
  'create',
  'create',
  'update',
  'update',
  'update',
  'rotate',
  'disable',
  'disable',
  'enable',
  'enable',
  'revoke',
  'delete',
  'expire',
] as const;
/**
 * Steps that disable only the oldest key. Therefore a key often enables the key that another key
 * disabled.
 */
const SWITCHES = fc.oneof(step(['create', 'rotate']), step(['disable', 'enable', 'enable'], 1));
const TOGETHER = [
  'create',
  'create',
  'update',
  'update',
  'update',
  'rotate',
  'disable',
  'enable',
  'revoke',
  'revokeAll',
  'delete',
] as const;

/**
 * Property: after each step of any sequence, no key has more rights than its makers had. All other
 * state of the keys matches the model.
 */
export function sequences(place: Place) {
  const steps = fc.array(step(ALONE), { minLength: 3, maxLength: 12 });
  return sequencesOf(FIELDS, steps, place);
}

/** Property: as in `sequences`, for steps that often disable and enable a key with few rights. */
export function switchings(place: Place) {
  const weak = {
    scopes: [],
    expiresAt: new Date(Date.now() + 3_600_000),
    rateLimit: { limit: 1, windowSeconds: 3_600 },
    quota: { limit: 1, period: 'month' },
    allowedIps: ['10.1.0.0/16'],
  };
  return sequencesOf(fc.constant(weak), fc.array(SWITCHES, { minLength: 10, maxLength: 20 }), place);
}

function sequencesOf(fields: fc.Arbitrary<object>, steps: fc.Arbitrary<Step[]>, { database, apps }: Place) {
  return fc.asyncProperty(fields, steps, async (first, others) => {
    const userId = await createUser(database);
    const keys = keysOf(apps, 0);
    await keys.create({
      userId,
      name: 'first',
      scopes: ['a:*', 'b'],
      ...first,
    } as unknown as CreateApiKeyInput);
    await keys.create({ userId, name: 'second', scopes: ['*'] } as CreateApiKeyInput);
    const known = new Map<string, Row>();
    for (const one of others) await stepAlone(one, { database, apps, userId, known });
  });
}

async function stepAlone(
  one: Step,
  { database, apps, userId, known }: Place & { userId: string; known: Map<string, Row> },
): Promise<void> {
  const before = await rowsOf(database, userId);
  const [actor, target] = [pick(before, one.by), pick(before, one.to)];
  if (!target || (one.by !== null && !actor)) return;
  const events = await eventCount(database);
  const acting = actor ? { apiKey: await keyOf(apps, actor.id) } : {};
  const failure = await run(one, target.id, acting, { database, apps, userId });
  const after = await rowsOf(database, userId);
  for (const [id, row] of [...before, ...after]) known.set(id, row);
  const changed = [...after.values()].filter((row) => !isSame(row, before.get(row.id)));
  const isBySql = one.does === 'delete' || one.does === 'expire';
  const problems = changed.flatMap((row) => sharesAmiss(row, known).map((text) => `${row.id} ${text}`));
  for (const row of after.values()) {
    if (row.xmin !== before.get(row.id)?.xmin && !changed.includes(row))
      problems.push(`${row.id} is written anew`);
    if (!before.has(row.id)) problems.push(...wrongBirth(row, one, { target, actor, before }));
  }
  if (changed.length === 0 && !isBySql && (await eventCount(database)) > events)
    problems.push('an event tells nothing');
  if (actor && !isBySql) problems.push(...gains(one, { before, changed, actor, target, after }));
  if (problems.length > 0)
    throw new Error([...problems, `the step ended in: ${failure ?? 'success'}`].join('\n'));
}

function wrongBirth(
  row: Row,
  { does }: Step,
  moment: { target: Row; actor: Row | null; before: ReadonlyMap<string, Row> },
): string[] {
  const { actor } = moment;
  const makers = actor ? [actor] : [];
  const expected = ancestorsOf(does === 'rotate' ? parentsInOrder(moment) : makers);
  const isRight = JSON.stringify(row.ancestors) === JSON.stringify(expected);
  return isRight ? [] : [`${row.id} has ancestors ${row.ancestors} instead of ${expected}`];
}

/** Returns the parents of a successor. The last one decides what the successor may undo. */
function parentsInOrder({
  target,
  actor,
  before,
}: {
  target: Row;
  actor: Row | null;
  before: ReadonlyMap<string, Row>;
}): Row[] {
  if (!actor || actor.id === target.id) return [target];
  const isMade = isBelow(target.id, actor, new Set([actor.id]), before);
  return isMade ? [actor, target] : [target, actor];
}

/**
 * Returns descriptions of the forbidden rights that keys gained from one step of the acting key.
 */
function gains(
  { does }: Step,
  moment: {
    before: ReadonlyMap<string, Row>;
    after: ReadonlyMap<string, Row>;
    changed: readonly Row[];
    actor: Row;
    target: Row;
  },
): string[] {
  const { before, after, changed, actor, target } = moment;
  if (actor.isOver || actor.isDisabled)
    return changed.map(({ id }) => `key ${actor.id}, which is over, changed ${id}`);
  const successors = new Set([...before.values()].map(({ replaces }) => replaces));
  return changed.flatMap((row) => {
    const old = before.get(row.id);
    const problems: string[] = [];
    if (old?.isOver && !row.isOver) problems.push('is revived');
    if (old && (old.isOver || successors.has(row.id)) && row.expires > old.expires)
      problems.push('lives longer');
    if (old?.isDisabled && !row.isDisabled)
      problems.push(...wronglyEnabled(row, { old, actor, rows: before, isRotated: successors.has(row.id) }));
    problems.push(
      ...beyond(row, makersOf(row, does, { old, actor, target: after.get(target.id) ?? target })),
    );
    return problems.map((text) => `${row.id} ${text}`);
  });
}

/** Returns the reasons why the acting key must not have enabled a key. Empty if it was allowed. */
function wronglyEnabled(
  row: Row,
  {
    old: { disabledBy, isOver },
    actor,
    rows,
    isRotated,
  }: { old: Row; actor: Row; rows: ReadonlyMap<string, Row>; isRotated: boolean },
): string[] {
  const problems = beyond(row, [actor]).map((right) => `is enabled with ${right}`);
  if (isOver || isRotated) problems.push('is enabled although it has ended or was rotated');
  if (disabledBy === null) problems.push('is enabled although a person disabled it');
  else if (!isOfLine(disabledBy, actor, rows)) problems.push(`is enabled although ${disabledBy} disabled it`);
  return problems;
}

/**
 * Returns whether a key is the acting key, one of its predecessors, or a descendant of one of these
 * keys. A predecessor is a key that the acting key replaced, directly or through other keys.
 * Ancestors and successors of the acting key, and descendants of successors, do not count.
 */
function isOfLine(id: string, actor: Row, rows: ReadonlyMap<string, Row>): boolean {
  const own = new Set([actor.id]);
  for (let at: Row | undefined = actor; at?.replaces; at = rows.get(at.replaces)) own.add(at.replaces);
  return own.has(id) || isBelow(id, actor, own, rows);
}

/** Returns whether a key descends from `own`, but not from a successor of the acting key. */
function isBelow(id: string, actor: Row, own: ReadonlySet<string>, rows: ReadonlyMap<string, Row>): boolean {
  const ancestors = rows.get(id)?.ancestors ?? [];
  const later = new Set<string>();
  let last = actor.id;
  for (const each of rows.values()) {
    if (each.replaces !== last) continue;
    later.add(each.id);
    last = each.id;
  }
  const isLater = later.has(id) || ancestors.some((ancestor) => later.has(ancestor));
  return ancestors.some((ancestor) => own.has(ancestor)) && !isLater && !actor.ancestors.includes(id);
}

/**
 * Returns the keys whose rights a row may have. For a new key: its makers. For a changed key: the
 * old state of the key, and the acting key. For a descendant: the old state of the descendant, and
 * the limits of the changed key.
 */
function makersOf(
  row: Row,
  does: Step['does'],
  { old, actor, target }: { old: Row | undefined; actor: Row; target: Row },
): Row[] {
  if (!old) return does === 'rotate' ? [actor, target] : [actor];
  return row.id === target.id ? [old, actor] : [old, { ...target, scopes: [] }];
}

/**
 * Property: with concurrent operations, a key gets at most the rights that its makers had at the
 * time of the operation. The event trail shows these rights.
 */
export function interleavings({ database, apps }: Place) {
  const rounds = fc.array(fc.array(step(TOGETHER), { minLength: 2, maxLength: 6 }), {
    minLength: 1,
    maxLength: 3,
  });
  return fc.asyncProperty(rounds, fc.nat(9), async (batches, held) => {
    const userId = await createUser(database);
    const keys = keysOf(apps, 0);
    for (const scopes of [['a:*', 'b'], ['*'], ['*']])
      await keys.create({ userId, name: 'ci', scopes } as unknown as CreateApiKeyInput);
    const gone = new Map<string, Row>();
    for (const batch of batches) await stepTogether(batch, held, { database, apps, userId, gone });
    const problems = await historyAmiss(database, userId, gone);
    if (problems.length > 0) throw new Error(problems.join('\n'));
  });
}

async function stepTogether(
  batch: readonly Step[],
  held: number,
  place: Place & { userId: string; gone: Map<string, Row> },
): Promise<void> {
  const { database, apps, userId, gone } = place;
  const rows = await rowsOf(database, userId);
  const prepared = await Promise.all(
    batch.map(async (one) => {
      const [actor, target] = [pick(rows, one.by), pick(rows, one.to)];
      return { one, target, acting: actor ? { apiKey: await keyOf(apps, actor.id) } : {} };
    }),
  );
  const client = new Client({ connectionString: database });
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [pick(rows, held)?.id]);
  let running = batch.length;
  const all = Promise.all(
    prepared.map(async ({ one, target, acting }) => {
      if (target) await run(one, target.id, acting, place, gone);
      running--;
    }),
  );
  while (running > 0 && !(await isSomeoneWaiting(client)));
  await client.query('COMMIT');
  await client.end();
  await all;
}

/**
 * Returns whether a session waits for a lock. PostgreSQL caches `pg_stat_activity` within a
 * transaction, so this cache is cleared first.
 */
async function isSomeoneWaiting(client: Client): Promise<boolean> {
  await client.query('SELECT pg_stat_clear_snapshot()');
  const { rowCount } = await client.query(
    `SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`,
  );
  return Number(rowCount) > 0;
}

interface Told {
  readonly type: string;
  readonly key: string;
  readonly actor: string | null;
  readonly details: {
    readonly replacesId?: string | null;
    readonly ancestorId?: string | null;
    readonly changes?: Readonly<Record<string, { readonly old: unknown }>>;
  };
}

/**
 * Returns descriptions of events that gave a key forbidden rights. Reads the event trail backwards
 * to compute the state of each key at the time of each event.
 */
async function historyAmiss(
  database: string,
  userId: string,
  gone: ReadonlyMap<string, Row>,
): Promise<string[]> {
  const present = await rowsOf(database, userId);
  const rows = new Map([...gone, ...present]);
  const trail = await sql<Told>(
    database,
    `SELECT type, key_id::text AS key, CASE actor_type WHEN 'key' THEN actor_id END AS actor, details
     FROM api_key_events WHERE key_id = ANY ($1::bigint[]) ORDER BY id DESC`,
    [[...rows.keys()]],
  );
  const problems = survivors(trail, present);
  const at = new Map<string, Row>([...rows].map(([id, row]) => [id, { ...row, shared: [] }]));
  for (const { type, key, actor, details } of trail) {
    const after = at.get(key);
    if (!after) continue;
    if (details.changes) at.set(key, undone(after, details.changes));
    const makers = [actor, details.changes ? key : details.replacesId].flatMap(
      (id) => at.get(id ?? '') ?? [],
    );
    const isGiven = type === 'created' || details.changes !== undefined;
    if (actor !== null && at.has(actor) && isGiven)
      problems.push(...beyondForEver(after, makers).map((text) => `${key} by ${actor}: ${text}`));
  }
  return problems;
}

/**
 * Returns the forbidden rights of a key, without expiries. A rotation shortens an expiry, and the
 * event trail does not contain the old expiry.
 */
function beyondForEver(after: Row, makers: readonly Row[]): string[] {
  const forever = (row: Row): Row => ({ ...row, expires: Number.POSITIVE_INFINITY });
  return beyond(forever(after), makers.map(forever));
}

function undone(row: Row, changes: Readonly<Record<string, { readonly old: unknown }>>): Row {
  const { scopes = row, rateLimit = row, quota = row, allowedIps = row } = changes as Record<string, unknown>;
  const old = <T>(change: unknown, present: T): T => (change === row ? present : (change as { old: T }).old);
  return {
    ...row,
    scopes: old(scopes, row.scopes),
    rate: old(rateLimit, row.rate),
    quota: old(quota, row.quota),
    ips: old(allowedIps, row.ips),
  };
}

/**
 * Returns two kinds of problems. A key changed something while it was disabled or after its
 * revocation. A key is valid although all descendants of its ancestor were revoked.
 * @param trail the events, newest first
 */
function survivors(trail: readonly Told[], present: ReadonlyMap<string, Row>): string[] {
  const problems: string[] = [];
  const actedLater = new Set<string | null>();
  for (const { type, key, actor, details } of trail) {
    if ((type === 'revoked' || type === 'disabled') && actedLater.has(key))
      problems.push(`${key} acted after it was ${type}`);
    if (type === 'enabled') actedLater.delete(key);
    if (type === 'revoked' && details.ancestorId)
      for (const row of present.values())
        if (row.ancestors.includes(details.ancestorId) && !row.isOver) problems.push(`${row.id} lives on`);
    if (type !== 'revoked') actedLater.add(actor);
  }
  return problems;
}

async function run(
  { at, does, withDescendants, fields }: Step,
  id: string,
  acting: Acting,
  { database, apps, userId }: Place & { readonly userId: string },
  gone: Map<string, Row> = new Map(),
): Promise<string | null> {
  const keys = keysOf(apps, at);
  const acts: Record<Step['does'], () => Promise<unknown>> = {
    create: () =>
      keys.create({ userId, name: 'ci', scopes: ['a:x'], ...fields } as unknown as CreateApiKeyInput, acting),
    update: () => keys.update(id, fields as UpdateApiKeyInput, acting),
    rotate: () =>
      keys.rotate(id, 'expiresAt' in fields ? { expiresAt: fields.expiresAt as Date } : {}, acting),
    disable: () => keys.disable(id, {}, acting),
    enable: () => keys.enable(id, {}, acting),
    revoke: () => keys.revoke(id, { descendants: withDescendants }, acting),
    revokeAll: () => keys.revokeAll({ userId }, acting),
    delete: async () => {
      const row = await deleteRow(database, id);
      if (row) gone.set(id, row);
    },
    expire: () =>
      sql(database, `UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = $1`, [id]),
  };
  try {
    await acts[does]();
    return null;
  } catch (error) {
    const { name, message } = error as Error;
    if (!/^ApiKey/.test(name) || (error as { code?: string }).code === 'KEY_STORE_UNAVAILABLE') throw error;
    return `${name}: ${message}`;
  }
}

function isSame(row: Row, old: Row | undefined): boolean {
  return (
    JSON.stringify({ ...row, xmin: '', isOver: false }) ===
    JSON.stringify({ ...old, xmin: '', isOver: false })
  );
}

function pick(rows: ReadonlyMap<string, Row>, number: number | null): Row | null {
  return number === null ? null : ([...rows.values()][number % Math.max(1, rows.size)] ?? null);
}

function keysOf(apps: readonly TestApp[], at: number): ApiKeyService {
  return (apps[at % apps.length] as TestApp).keys;
}

async function keyOf(apps: readonly TestApp[], id: string): Promise<ApiKey> {
  return (await keysOf(apps, 0).get(id)) as ApiKey;
}

async function eventCount(database: string): Promise<number> {
  const [row] = await sql<{ count: string }>(database, 'SELECT count(*) FROM api_key_events');
  return Number(row?.count);
}
