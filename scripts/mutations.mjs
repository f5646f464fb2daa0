// Takes one rule of "never stale" after the other out of the code and shows that the test of that rule fails without it.
// Prints a table; fails where a test passes without its rule. Takes about ten minutes, and changes nothing in the end. With an
// argument only the tests whose names contain it.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const VERIFICATION = 'libs/api-key/src/verification';

const NO_LEASE = {
  rule: 'what is remembered is trusted only while the lease holds, compared at each use',
  file: `${VERIFICATION}/lease.ts`,
  from: 'return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;',
  to: 'return now >= 0;',
};
const NO_WAIT = {
  rule: 'everywhere waits as long as any instance may trust what it remembers',
  file: `${VERIFICATION}/trust-bound.ts`,
  from: 'await delay(Math.max(0, committedAt + bound - performance.now()));',
  to: 'await delay(Math.min(0, committedAt + bound));',
};
const NO_NEW_SESSION = {
  rule: 'each listening session begins with nothing remembered and nothing under way',
  file: `${VERIFICATION}/revocation-feed.ts`,
  from: 'this.lease.begin();\n    this.listener.clear();',
  to: 'if (!this.lease.isHeld()) this.lease.begin();\n    this.lease["open"] = true;',
};
const NO_EVICTION = {
  rule: 'a notification evicts the key',
  file: `${VERIFICATION}/revocation-feed.ts`,
  from: 'else this.listener.evict(payload);',
  to: '',
};
const NO_EVICTION_IF_FULL = {
  rule: 'a full cache evicts a key that changed as any other does',
  file: `${VERIFICATION}/key-cache.ts`,
  from: "const digest = this.digests.get(id) ?? '';",
  to: "if (this.keys.size >= this.options.cacheSize) return undefined;\n    const digest = this.digests.get(id) ?? '';",
};
const LATE_EVICTION = {
  rule: 'a notification evicts the key at once',
  file: `${VERIFICATION}/revocation-feed.ts`,
  from: 'else this.listener.evict(payload);',
  to: 'else setTimeout(() => this.listener.evict(payload), Math.random() < 0.05 ? 1_500 : 0);',
};
const LONG_DEADLINE = {
  rule: 'a look-up is given up after lookUpTimeoutMs',
  file: 'libs/api-key/src/api-key.options.ts',
  from: 'lookUpTimeoutMs: 200,',
  to: 'lookUpTimeoutMs: 3_000,',
};
const LONG_LEASE = {
  rule: 'nothing is trusted for longer than the lease',
  file: `${VERIFICATION}/lease.ts`,
  from: 'return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;',
  to: 'return now - heartbeat.monotonic < 10 * this.boundMs;',
  also: {
    file: `${VERIFICATION}/owner-cache.ts`,
    from: 'now - askedAt < this.options.userCacheMs',
    to: 'now >= askedAt',
  },
};
const NO_CLOSED_FLIGHT = {
  rule: 'what is found by a look-up that an eviction overtook is not remembered',
  file: `${VERIFICATION}/key-cache.ts`,
  from: 'this.keys.delete(digest);\n    for (const flight of this.underWay) flight.changed = true;',
  to: 'this.keys.delete(digest);',
};
const JOIN_OVERTAKEN = {
  rule: 'nobody joins a look-up that an eviction overtook',
  file: `${VERIFICATION}/key-cache.ts`,
  from: 'flight.changed = true;\n    this.flights.clear();',
  to: 'flight.changed = true;',
};
const JOIN_OLD = {
  rule: 'nobody joins a look-up that is as old as a lease, or of a lease that ended',
  file: `${VERIFICATION}/key-cache.ts`,
  from: 'return this.trusts(flight, now) && now - flight.askedAt < Math.max(this.lease.boundMs, staleForMs);',
  to: 'return now >= 0 && staleForMs >= 0;',
};
const NO_DELETE_NOTE = {
  rule: 'a deleted row is told, whoever deletes it',
  file: 'libs/api-key/src/migrations/revocation-feed.migration.ts',
  from: 'PERFORM pg_notify(channel, OLD.id::text);\n      ELSIF $',
  to: 'NULL;\n      ELSIF $',
};
const NO_USER_TIME = {
  file: `${VERIFICATION}/owner-cache.ts`,
  from: 'now - askedAt < this.options.userCacheMs',
  to: 'now >= askedAt',
};
const NO_WATCH = {
  also: NO_USER_TIME,
  file: 'libs/api-key/src/migrations/watch-users.migration.ts',
  from: "ELSE 'u:' || OLD.id END",
  to: "ELSE '' END",
};
const NO_RAISE = {
  rule: 'an instance says how long it trusts before it does',
  file: `${VERIFICATION}/revocation-feed.ts`,
  from: 'await client.query(raiseTrust(trustTable(this.dataSource)), [this.options.trustMs]);',
  to: 'void [raiseTrust, trustTable];',
};

const LIFECYCLE = 'libs/api-key/src/lifecycle';
const NO_OWNER_LOCK = {
  rule: 'changes of the keys of an owner come one after the other',
  file: `${LIFECYCLE}/owner-lock.ts`,
  from: '::regclass::oid::bigint)`;',
  to: '::regclass::oid::bigint + (random() * 1e9)::bigint)`;',
};
const STALE_ACTOR = {
  rule: 'the key that acts is judged as it is under the lock',
  file: `${LIFECYCLE}/lock-key.ts`,
  from: "return locked.expired ? refuseActor(apiKey, 'expired') : locked.apiKey;",
  to: "return locked.expired ? refuseActor(apiKey, 'expired') : apiKey;",
};
const EARLY_CLOCK = {
  rule: 'whether the key that acts has expired is read after its row is locked',
  file: `${LIFECYCLE}/lock-key.ts`,
  from: 'ORDER BY id FOR NO KEY UPDATE`',
  to: 'ORDER BY id`',
  also: {
    file: `${LIFECYCLE}/lock-key.ts`,
    from: 'k WHERE id = ANY ($1::bigint[])`',
    to: 'k WHERE id = ANY ($1::bigint[]) FOR NO KEY UPDATE`',
  },
};
const CHANGED_FIELDS_ONLY = {
  rule: 'if a bound widens, the whole result is judged',
  file: `${LIFECYCLE}/update-key.ts`,
  from: 'refuseExcess(judged, bound, { defaults, isShared: before.ancestorIds.includes(actor.id) });',
  to: 'void [judged, bound];',
};
const REVIVAL = {
  rule: 'what has expired or has a successor lives no longer by a key',
  file: `${LIFECYCLE}/update-key.ts`,
  from: 'refuseRevival(target, changes);\n    refuseExcess',
  to: 'void refuseRevival;\n    refuseExcess',
};
const NO_DEFAULT = {
  rule: 'the default limit bounds a key without one of its own',
  file: 'libs/api-key/src/authority.ts',
  from: 'own: rateLimit === null ? defaults : [rateLimit],',
  to: 'own: rateLimit === null ? defaults.slice(defaults.length) : [rateLimit],',
};
const EXCUSED_BY_ANCESTOR = {
  rule: 'a limit of an ancestor excuses no limit of the key itself',
  file: 'libs/api-key/src/authority.ts',
  from: 'bound.own.every(isOwnWithin) &&',
  to: 'bound.own.every((outer) => isOwnWithin(outer) || [...given.shared.values()].some((inner) => isWithin(inner, outer))) &&',
};
const NO_SHARE = {
  rule: 'a changed limit reaches all that the key made',
  file: `${LIFECYCLE}/update-key.ts`,
  from: 'await shareChangedLimits(change, apiKey);',
  to: 'void [shareChangedLimits, apiKey];',
};
const NO_LINEAGE_LOCK = {
  rule: 'revoke with descendants locks all owners of the lineage',
  file: `${LIFECYCLE}/end-keys.ts`,
  from: 'for (const owner of owners) locked.add(await lockOwner(change, owner));',
  to: 'for (const owner of owners) locked.add(owner);\n    void lockOwner;',
};
const CUT_UNCOVERED = {
  rule: 'only ancestors that a full parent lists are left out of a lineage',
  file: 'libs/api-key/src/lineage.ts',
  from: 'mustFit ? withoutOldest(live, (id) => covered.has(id)) : live;',
  to: 'mustFit ? withoutOldest(live, () => true) : live;',
};

const EDGES = 'test/authority-edges.spec.ts';
const FIGURES = 'test/fleet-figures.spec.ts';

/** Which test shows which rule; in `test/fleet.spec.ts` where no other file is named. */
const SHOWN = [
  [NO_EVICTION, 'where nothing fails, five hundred times'],
  [NO_LEASE, 'although their listening connections are killed'],
  [NO_WAIT, 'of one to the database are stalled (feed)'],
  [NO_LEASE, 'of one to the database are stalled (all)'],
  [NO_LEASE, 'although one is frozen meanwhile'],
  [NO_DELETE_NOTE, 'where a key is deleted through psql'],
  [
    {
      ...NO_DELETE_NOTE,
      rule: 'a deleted row is told, so is a deleted user, and users are asked again',
      also: NO_WATCH,
    },
    'where a user is deleted, which cascades',
  ],
  [NO_CLOSED_FLIGHT, 'although a look-up was paused in flight'],
  [JOIN_OVERTAKEN, 'of an instance that heard of the revocation'],
  [JOIN_OLD, 'of an instance that heard nothing'],
  [NO_NEW_SESSION, 'although the feed was lost and found'],
  [NO_EVICTION, 'room for ten keys, accept none either, where nothing fails'],
  [NO_EVICTION_IF_FULL, 'room for ten keys, accept none either, where nothing fails'],
  [NO_RAISE, 'although the feed of number 3 is stalled'],
  [LATE_EVICTION, 'Each of 500 plain revocations reaches four instances', FIGURES],
  [LONG_DEADLINE, 'A database that is swallowing', FIGURES],
  [LONG_LEASE, 'A database that is stopped', FIGURES],
  [NO_OWNER_LOCK, 'A key that is being made while all keys of its owner end', EDGES],
  [STALE_ACTOR, 'A key is judged by what it has now', EDGES],
  [EARLY_CLOCK, 'A key that expires while its change waits', EDGES],
  [CHANGED_FIELDS_ONLY, 'A key that widens one bound of another', EDGES],
  [REVIVAL, 'lives no longer by a key', EDGES],
  [NO_DEFAULT, 'after each step of random sequences', 'test/authority-property.spec.ts'],
  [EXCUSED_BY_ANCESTOR, 'of an ancestor do not excuse one that a key sets for itself', EDGES],
  [NO_SHARE, 'that a successor is given first', EDGES],
  [NO_LINEAGE_LOCK, 'whose row is gone, ends with it', EDGES],
  [CUT_UNCOVERED, 'of two long lines that meet in a rotation', EDGES],
];

const run = (...args) =>
  spawnSync('npx', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: Number.POSITIVE_INFINITY });
const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** What Jest says of the one test: passed, failed, or nothing where it did not run. */
function outcomeOf(test, file = 'test/fleet.spec.ts') {
  const { stdout } = run('jest', file, '--json', '-t', literal(test));
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

console.log('| rule that is taken out | test | without it |\n| --- | --- | --- |');
const [, , wanted = ''] = process.argv;
for (const [mutation, test, file] of SHOWN.filter(([, name]) => name.includes(wanted))) {
  const outcome = without(mutation, () => outcomeOf(test, file));
  console.log(`| ${mutation.rule} | ${test} | ${outcome} |`);
  if (outcome !== 'fails') process.exitCode = 1;
}
