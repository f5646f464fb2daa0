// Removes each rule of "never stale" from the code, one at a time, and runs the test of this rule.
// Prints a table. Fails if a test passes without its rule. Takes about ten minutes and restores the
// code. An argument selects the tests whose names contain the argument. --check runs no test and
// fails if the code of a rule is not found.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LOOKUP = 'libs/api-key/src/lookup';

const NO_LEASE = {
  rule: 'a cache entry is trusted only while the lease holds, compared at each use',
  file: `${LOOKUP}/lease.ts`,
  from: 'return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;',
  to: 'return now >= 0;',
};
const NO_WAIT = {
  rule: 'everywhere waits as long as any instance may trust its cache',
  file: `${LOOKUP}/trust-bound.ts`,
  from: 'await delay(Math.max(0, committedAt + bound - performance.now()));',
  to: 'await delay(Math.min(0, committedAt + bound));',
};
const NO_NEW_SESSION = {
  rule: 'each listening session begins with an empty cache and no look-up in flight',
  file: `${LOOKUP}/feed-session.ts`,
  from: 'lease.begin();\n    listener.clear();',
  to: 'if (!lease.isHeld()) lease.begin();\n    lease["open"] = true;\n    void listener;',
};
const NO_EVICTION = {
  rule: 'a notification evicts the key',
  file: `${LOOKUP}/feed-listener.ts`,
  from: 'else listener.evict(payload);',
  to: '',
};
const NO_EVICTION_IF_FULL = {
  rule: 'a full cache evicts a key that changed as any other does',
  file: `${LOOKUP}/key-cache.ts`,
  from: "const digest = this.digests.get(id) ?? '';",
  to: "if (this.keys.size >= this.options.size) return undefined;\n    const digest = this.digests.get(id) ?? '';",
};
const LONG_DEADLINE = {
  rule: 'a look-up is given up after lookUpTimeoutMs',
  file: 'libs/api-key/src/authentication/api-key.authenticator.ts',
  from: 'await inTime(this.options.cache.lookUpTimeoutMs, found,',
  to: 'await inTime(15 * this.options.cache.lookUpTimeoutMs, found,',
};
const LONG_LEASE = {
  rule: 'nothing is trusted for longer than the lease',
  file: `${LOOKUP}/lease.ts`,
  from: 'return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;',
  to: 'return now - heartbeat.monotonic < 10 * this.boundMs;',
};
const NO_CLOSED_FLIGHT = {
  rule: 'the result of a look-up that an eviction overtook is not cached',
  file: `${LOOKUP}/key-cache.ts`,
  from: 'this.keys.delete(digest);\n    for (const flight of this.underWay) flight.changed.add(id);',
  to: 'this.keys.delete(digest);',
};
const JOIN_OVERTAKEN = {
  rule: 'no request joins a look-up that an eviction overtook',
  file: `${LOOKUP}/key-cache.ts`,
  from: 'flight.changed.add(id);\n    this.flights.clear();',
  to: 'flight.changed.add(id);',
};
const JOIN_OLD = {
  rule: 'no request joins a look-up that is as old as a lease, or of a lease that ended',
  file: `${LOOKUP}/key-cache.ts`,
  from: 'return this.trusts(flight, now) && now - flight.askedAt < Math.max(this.lease.boundMs, staleForMs);',
  to: 'return now >= 0 && staleForMs >= 0;',
};
const NO_DELETE_NOTE = {
  rule: 'a deleted row is notified, whoever deletes it',
  file: 'libs/api-key/src/migrations/revocation-feed.migration.ts',
  from: 'key_id := OLD.id::text;',
  to: "key_id := CASE WHEN TG_OP = 'DELETE' THEN '0' ELSE OLD.id::text END;",
};
const NO_USER_TIME = {
  file: `${LOOKUP}/owner-cache.ts`,
  from: 'now - askedAt < this.options.userCacheMs',
  to: 'now >= askedAt',
};
const NO_WATCH = {
  also: NO_USER_TIME,
  file: 'libs/api-key/src/migrations/watch-users.migration.ts',
  from: "THEN 'u:' || user_id ELSE",
  to: "THEN 'u:' ELSE",
};
const NO_RAISE = {
  rule: 'an instance writes its trust bound before it uses it',
  file: `${LOOKUP}/feed-session.ts`,
  from: 'session.run(raiseTrust(tables.trust), [options.trustMs])',
  to: 'session.run(raiseTrust(tables.trust), [0 * options.trustMs])',
};

const SILENT_MIGRATION = 'libs/api-key/src/migrations/tell-silent-changes.migration.ts';
const NO_SILENCE = {
  rule: 'a change does not notify when the queue is nearly full, and is marked instead',
  file: SILENT_MIGRATION,
  from: 'const FULL_FROM = 0.9;',
  to: 'const FULL_FROM = 2;',
};
const NO_MARK = {
  rule: 'a change that is not notified leaves a mark',
  file: SILENT_MIGRATION,
  from: "IF silent = 'on' THEN",
  to: "IF silent = 'on' THEN\n        RETURN;",
};
const NO_RETRY = {
  rule: 'a change that met a full queue at its commit is made again, without notifications',
  file: 'libs/api-key/src/database/full-queue.ts',
  from: 'if (!isFullQueue(error)) throw error;\n    return',
  to: 'if (isFullQueue(error) || error) throw error;\n    return',
};
const NO_CLEAR = {
  rule: 'a heartbeat that reads of a silent change empties the cache',
  file: `${LOOKUP}/heartbeats.ts`,
  from: 'if (silentChanges !== this.silentChanges) this.listener.clear();',
  to: 'void this.silentChanges;',
};
const NO_DEFINITION = {
  rule: 'a heartbeat that reads of a redefined table empties the cache before it renews the lease',
  file: `${LOOKUP}/feed-session.ts`,
  from: 'if (definition === this.definition) return;',
  to: 'if (definition === this.definition || definition) return;',
};
const NO_AGE = {
  rule: 'a cache entry is read anew after an hour at most, so that its expiry does not drift',
  file: `${LOOKUP}/cached-key.ts`,
  from: 'const LONGEST_AGE_MS = 3_600_000;',
  to: 'const LONGEST_AGE_MS = 36_000_000;',
};
const LATE_CLEAR = {
  rule: 'it does so before it renews the lease',
  file: `${LOOKUP}/heartbeats.ts`,
  from: 'if (silentChanges !== this.silentChanges) this.listener.clear();',
  to: 'if (silentChanges !== this.silentChanges) queueMicrotask(() => this.listener.clear());',
};
const NOTIFIED_ONLY = {
  rule: 'a heartbeat renews the lease once its silent changes are read',
  file: `${LOOKUP}/heartbeats.ts`,
  from: 'if (!notified || !read) return;',
  to: 'if (!notified && read) return;',
};
const READ_ONLY = {
  rule: 'a heartbeat renews the lease once its notification has arrived',
  file: `${LOOKUP}/heartbeats.ts`,
  from: 'if (!notified || !read) return;',
  to: 'if (notified && !read) return;',
};
const UNKNOWN_BEGINNING = {
  rule: 'a session reads the silent changes before it empties the cache, so that it misses none after',
  file: `${LOOKUP}/heartbeats.ts`,
  from: 'if (silentChanges !== this.silentChanges) this.listener.clear();',
  to: "if (silentChanges !== this.silentChanges && this.silentChanges !== '') this.listener.clear();",
};
/** Simulates a counter in a sequence, whose new value all sessions see before the commit. */
const SEQUENCE = {
  rule: 'a silent change shows when it commits, not before',
  file: SILENT_MIGRATION,
  from: `\${qualify('api_key_silent_changes')} (xact xid8, at timestamptz, PRIMARY KEY (xact, at))\``,
  to: 'unused_changes (); CREATE SEQUENCE IF NOT EXISTS api_key_silent_changes`',
  also: {
    file: SILENT_MIGRATION,
    from: `INSERT INTO \${qualify('api_key_silent_changes')} (xact, at) VALUES (pg_current_xact_id(), now()) ON CONFLICT DO NOTHING`,
    to: "SELECT nextval('public.api_key_silent_changes')",
    also: {
      file: `${LOOKUP}/silent-changes.ts`,
      from: "coalesce(string_agg(concat_ws(' ', xact, extract(epoch FROM at)), ',' ORDER BY xact, at), '')",
      to: 'last_value || is_called::text',
    },
  },
};
const SAME_AGAIN = {
  rule: 'pruning silent changes leaves a mark that no session has seen before',
  file: `${LOOKUP}/silent-changes.ts`,
  from: 'WHERE EXISTS (SELECT FROM forgotten)',
  to: 'WHERE false',
};
const KEYS = 'libs/api-key/src/keys';
const NO_OWNER_LOCK = {
  rule: 'changes of the keys of an owner come one after the other',
  file: `${KEYS}/owner-lock.ts`,
  from: '::regclass::oid::bigint)`;',
  to: '::regclass::oid::bigint + (random() * 1e9)::bigint)`;',
};
const STALE_ACTOR = {
  rule: 'the key that acts is judged as it is under the lock',
  file: `${KEYS}/lock-key.ts`,
  from: 'refuseUnlessHeld(locked.apiKey, needs);\n  return locked.apiKey;',
  to: 'refuseUnlessHeld(locked.apiKey, needs);\n  return apiKey;',
};
const EARLY_CLOCK = {
  rule: 'the expiry of the key that acts is read after its row is locked',
  file: `${KEYS}/lock-key.ts`,
  from: 'ORDER BY id FOR NO KEY UPDATE`',
  to: 'ORDER BY id`',
  also: {
    file: `${KEYS}/lock-key.ts`,
    from: 'k WHERE id = ANY ($1::bigint[])`',
    to: 'k WHERE id = ANY ($1::bigint[]) FOR NO KEY UPDATE`',
  },
};
const NO_SECOND_TRY = {
  rule: 'a change that PostgreSQL aborted because of a deadlock is made again',
  file: 'libs/api-key/src/database/database.ts',
  from: 'attempt === ATTEMPTS ||',
  to: 'attempt <= ATTEMPTS ||',
};
const NO_NEEDS = {
  rule: 'the key that acts holds the scope that the change needs when it is made',
  file: `${KEYS}/lock-key.ts`,
  from: 'if (missing.length === 0) return;',
  to: 'if (missing.length >= 0) return;',
};
const CHANGED_FIELDS_ONLY = {
  rule: 'if a bound widens, the whole result is judged',
  file: `${KEYS}/update-key.ts`,
  from: 'refuseExcess(judged, bound, { defaults, isShared: isCountedOn(before, actor, change) });',
  to: 'void [judged, bound, isCountedOn];',
};
const REVIVAL = {
  rule: 'no key extends a key that has expired or has a successor',
  file: `${KEYS}/update-key.ts`,
  from: 'refuseRevival(target, changes);\n    refuseExcess',
  to: 'void refuseRevival;\n    refuseExcess',
};
const NO_DEFAULT = {
  rule: 'the default limit bounds a key without one of its own',
  file: 'libs/api-key/src/model/authority.ts',
  from: 'isUnchanged ? [] : defaults',
  to: 'isUnchanged ? [] : defaults.slice(defaults.length)',
};
const EXCUSED_BY_ANCESTOR = {
  rule: 'a limit of an ancestor excuses no limit of the key itself',
  file: 'libs/api-key/src/model/authority.ts',
  from: 'bound.own.every(isOwnWithin) &&',
  to: 'bound.own.every((outer) => isOwnWithin(outer) || [...given.shared.values()].some((inner) => isWithin(inner, outer))) &&',
};
const NO_SHARE = {
  rule: 'a changed limit reaches all that the key made',
  file: `${KEYS}/update-key.ts`,
  from: 'await shareChangedLimits(change, apiKey);',
  to: 'void [shareChangedLimits, apiKey];',
};
const NO_LINEAGE_LOCK = {
  rule: 'revoke with descendants locks all owners of the lineage',
  file: `${KEYS}/end-keys.ts`,
  from: 'for (const owner of others) locked.add(await lockOwner(change, owner));',
  to: 'for (const owner of others) locked.add(owner);\n    void lockOwner;',
};
const NO_CLOSURE = {
  rule: 'a revocation searches on from each key that it finds, because a full list lacks the oldest ancestors',
  file: `${KEYS}/descendants.ts`,
  from: 'for (const id of await madeBy(table, ids, MAX_ANCESTORS)) if (!found.has(id)) next.add(id);',
  to: 'void [ids, next, MAX_ANCESTORS];',
};

const LATE_EVICTION = {
  rule: 'the commit of a transaction of the application evicts its keys from the cache of the instance',
  file: 'libs/api-key/src/audit/after-commit.ts',
  from: 'for (const change of changes) change.evict();',
  to: '',
};
const NO_SAVEPOINT = {
  rule: 'a failed call in a transaction of the application is undone',
  file: 'libs/api-key/src/database/joined-transaction.ts',
  from: 'await session.run(UNDO).catch(() => {});',
  to: 'void UNDO;',
};

const OVERTAKING_END = {
  rule: 'the end of a transaction of the application waits for calls that it does not await',
  file: 'libs/api-key/src/database/joining.ts',
  from: '      await waited;\n',
  to: '',
};

const EDGES = 'test/authority-edges.spec.ts';
const OWN_TRANSACTION = 'test/own-transaction.spec.ts';

const FULL_QUEUE = 'test/soak/full-queue.spec.ts';
const FEED = `${LOOKUP}/revocation-feed.spec.ts`;
const HEARTBEATS = `${LOOKUP}/heartbeats.spec.ts`;

/**
 * Mutations, each with the name of its test and optionally the file of the test. The default file
 * is `test/soak/fleet.spec.ts`.
 */
const SHOWN = [
  [NO_EVICTION, 'if nothing fails, five hundred times'],
  [NO_LEASE, 'even if their listening connections are killed'],
  [NO_WAIT, 'of one instance are stalled (feed)'],
  [NO_LEASE, 'of one instance are stalled (all)'],
  [NO_LEASE, 'even if one instance was frozen during the revocation'],
  [NO_DELETE_NOTE, 'if a key is deleted through psql'],
  [
    {
      ...NO_DELETE_NOTE,
      rule: 'a deleted row is notified, so is a deleted user, and users are loaded again',
      also: NO_WATCH,
    },
    'if a user is deleted, which cascades',
  ],
  [NO_CLOSED_FLIGHT, 'even if a look-up was paused in flight'],
  [JOIN_OVERTAKEN, 'an instance that heard of the revocation'],
  [JOIN_OLD, 'an instance that heard nothing'],
  [NO_NEW_SESSION, 'even if the feed was lost and restored'],
  [NO_EVICTION, 'with a cache of ten keys, accept no ended key either, if nothing fails'],
  [NO_EVICTION_IF_FULL, 'with a cache of ten keys, accept no ended key either, if nothing fails'],
  [NO_RAISE, 'even if the feed of instance 3 is stalled'],
  [
    LONG_DEADLINE,
    'answers 503 after lookUpTimeoutMs',
    'libs/api-key/src/authentication/api-key.authenticator.spec.ts',
  ],
  [LONG_LEASE, 'a lease counts from the sending of the heartbeat', `${LOOKUP}/lease.spec.ts`],
  [NO_SILENCE, 'a DELETE typed into psql succeeds', FULL_QUEUE],
  [NO_MARK, 'a DELETE typed into psql succeeds', FULL_QUEUE],
  [NO_RETRY, 'fills up between a change and its commit', FULL_QUEUE],
  [NO_CLEAR, 'that is not notified of a key clears the whole cache once', FEED],
  [NO_CLEAR, 'is handled before the next heartbeat counts', HEARTBEATS],
  [NO_DEFINITION, 'deletes keys while the triggers are disabled', FEED],
  [NO_AGE, 'does not make a key expire late on a slow monotonic clock', `${LOOKUP}/key-cache.spec.ts`],
  [LATE_CLEAR, 'is handled before the lease is renewed', HEARTBEATS],
  [NOTIFIED_ONLY, 'a heartbeat renews the lease from when it was sent', HEARTBEATS],
  [READ_ONLY, 'a heartbeat renews the lease from when it was sent', HEARTBEATS],
  [UNKNOWN_BEGINNING, 'that is not notified of a key clears the whole cache once', FEED],
  [SEQUENCE, 'is noticed when it is committed, and not before', FEED],
  [SAME_AGAIN, 'replaces many such rows by one', FEED],
  [NO_OWNER_LOCK, 'A key that is created while all keys of its owner are revoked', EDGES],
  [STALE_ACTOR, 'A key is judged by its present authority', EDGES],
  [NO_SECOND_TRY, 'because of a deadlock', 'libs/api-key/src/database/database.spec.ts'],
  [NO_NEEDS, 'is refused if the acting key lost the required scope', 'test/authority.spec.ts'],
  [EARLY_CLOCK, 'A key that expires while its change waits', EDGES],
  [CHANGED_FIELDS_ONLY, 'A key that widens one field of another key', EDGES],
  [REVIVAL, 'is not extended by a key', EDGES],
  [NO_DEFAULT, 'than the keys that created it had, after each step', 'test/authority-property.spec.ts'],
  [EXCUSED_BY_ANCESTOR, 'of an ancestor do not replace a limit that a key sets for itself', EDGES],
  [NO_SHARE, 'that are first set on a successor', EDGES],
  [NO_LINEAGE_LOCK, 'of a deleted ancestor is revoked with them', EDGES],
  [NO_CLOSURE, 'of two long lines that meet in a rotation', EDGES],
  [LATE_EVICTION, 'evicts without notifications', OWN_TRANSACTION],
  [NO_SAVEPOINT, 'undoes what it had written before it failed', OWN_TRANSACTION],
  [OVERTAKING_END, 'leaves nothing behind if the transaction fails after', OWN_TRANSACTION],
];

const run = (...args) =>
  spawnSync('npx', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: Number.POSITIVE_INFINITY });
const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Runs one test. Returns `passes`, `fails`, or `not found` if the test did not run. */
function outcomeOf(test, file = 'test/soak/fleet.spec.ts') {
  const config = file.startsWith('test/soak/') ? 'jest.soak.config.js' : 'jest.config.js';
  const { stdout } = run('jest', '--config', config, file, '--json', '-t', literal(test));
  const [report = '{}'] = /^\{"num.*$/m.exec(stdout) ?? [];
  const { numPassedTests = 0, numFailedTests = 0 } = JSON.parse(report);
  return numPassedTests + numFailedTests === 0 ? 'not found' : numFailedTests > 0 ? 'fails' : 'passes';
}

function without({ also, ...mutation }, work) {
  return also ? edited(mutation, () => without(also, work)) : edited(mutation, work);
}

function edited({ file, from, to }, work) {
  const path = `${ROOT}${file}`;
  const original = readFileSync(path, 'utf8');
  if (original.split(from).length !== 2) throw new Error(`${file} does not say once: ${from}`);
  writeFileSync(
    path,
    original.replace(from, () => to),
  );
  try {
    if (run('tsc', '-b').status !== 0) throw new Error(`${file} does not compile without its rule`);
    return work();
  } finally {
    writeFileSync(path, original);
    run('tsc', '-b');
  }
}

/** Returns an error for each rule whose code does not occur exactly once. */
function problems() {
  const found = [];
  for (const [mutation] of SHOWN)
    for (let each = mutation; each; each = each.also)
      if (readFileSync(`${ROOT}${each.file}`, 'utf8').split(each.from).length !== 2)
        found.push(`${each.file} does not say once: ${each.from}`);
  return found;
}

function table(wanted) {
  console.log('| rule that is taken out | test | without it |\n| --- | --- | --- |');
  for (const [mutation, test, file] of SHOWN.filter(([, name]) => name.includes(wanted))) {
    const outcome = without(mutation, () => outcomeOf(test, file));
    console.log(`| ${mutation.rule} | ${test} | ${outcome} |`);
    if (outcome !== 'fails') process.exitCode = 1;
  }
}

const [, , wanted = ''] = process.argv;
if (wanted === '--check') {
  for (const problem of problems()) console.error(problem);
  process.exitCode = problems().length > 0 ? 1 : 0;
} else table(wanted);
