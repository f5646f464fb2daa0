// Presents ten million changed copies of valid keys to the library on a real database. Prints the
// results and fails if a changed key is accepted. One key in a thousand gets a correct checksum, so
// that the library looks this key up in the database. Takes about a minute.
import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ApiKeyService } from 'nestjs-api-key';
import { ourContext } from '../dist/bench/calls/ours.js';
import { startDatabase } from '../dist/bench/database.js';
import { createKeys } from '../dist/bench/keys.js';
import { ours } from '../dist/bench/variants/ours.js';

const CASES = Number(process.argv[2] ?? 10_000_000);
const WITH_CHECKSUM = 1_000;
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SEED = randomInt(2 ** 31);

/**
 * Returns a generator of random numbers from 0 (inclusive) to 1 (exclusive), with the algorithm
 * mulberry32. The same seed gives the same numbers, so that a failure can be repeated.
 */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = randomFrom(SEED);
const below = (n) => Math.floor(random() * n);

const CHANGES = {
  'one character replaced': (key, at) => key.slice(0, at) + BASE62[below(62)] + key.slice(at + 1),
  'one left out': (key, at) => key.slice(0, at) + key.slice(at + 1),
  'one added': (key, at) => key.slice(0, at) + BASE62[below(62)] + key.slice(at),
  'two neighbours exchanged': (key, at) =>
    key.slice(0, at) + (key[at + 1] ?? '') + key[at] + key.slice(at + 2),
  'its case changed': (key, at) => key.slice(0, at) + changedCase(key[at]) + key.slice(at + 1),
  'cut off': (key, at) => key.slice(0, at),
  'two places changed': (key, at) =>
    CHANGES['one character replaced'](CHANGES['one character replaced'](key, at), below(key.length)),
};

const changedCase = (character) =>
  character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase();

function checksummed(key) {
  const body = key.slice(0, -6);
  let rest = crc32(body);
  let digits = '';
  for (let i = 0; i < 6; i++) {
    digits = BASE62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return body + digits;
}

const database = await startDatabase();
const keys = await createKeys(database.url, 100);
const context = await ourContext(ours(database.url));
try {
  const service = context.get(ApiKeyService);
  const valid = new Set(keys);
  const kinds = Object.keys(CHANGES);
  const counts = { malformed: 0, unknown: 0, accepted: 0 };
  for (let made = 0; made < CASES; ) {
    const key = keys[below(keys.length)];
    const changed = CHANGES[kinds[below(kinds.length)]](key, below(key.length));
    const presented = below(WITH_CHECKSUM) === 0 ? checksummed(changed) : changed;
    if (valid.has(presented)) continue;
    const { ok, reason } = await service.verify(presented);
    counts[ok ? 'accepted' : reason] += 1;
    made += 1;
  }
  console.log(`${CASES} changed keys, seed ${SEED}: ${JSON.stringify(counts)}`);
  if (counts.accepted > 0) process.exitCode = 1;
} finally {
  await context.close();
  await database.remove();
}
