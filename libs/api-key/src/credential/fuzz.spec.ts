import { randomFrom } from '../../../../test/support/random';
import { extractCredential } from './extract';
import { isWellFormedKey, mintKey } from './format';

const CASES = 1_000_000;
const SEED = 20_261_125;

const PIECES = [
  'Bearer',
  'bearer',
  'BEARER ',
  ' ',
  '\t',
  '',
  'Basic ',
  ',',
  ';',
  '=',
  '"',
  '\0',
  '\x7f',
  'é',
  '\u2028',
  '_',
  '__',
  'key_',
  '%00',
  '../',
  '{}',
  '[]',
  'null',
  'undefined',
];
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_ -.~+/=\t\0ÿ';

it('a million malformed credentials are refused without I/O, and nothing is thrown', () => {
  const random = randomFrom(SEED);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(list: ArrayLike<T>) => list[below(list.length)] as T;
  const keys = ['acme_live', 'key', 'a'].map((prefix) => mintKey('checksummed', prefix));
  const mutate = (text: string) => {
    const [at, kind] = [below(text.length), below(6)];
    if (kind === 0) return text.slice(0, at) + pick(ALPHABET) + text.slice(at + 1);
    if (kind === 1) return text.slice(0, at) + text.slice(at + 1 + below(3));
    if (kind === 2) return text.slice(0, at) + pick(PIECES) + text.slice(at);
    if (kind === 3) return text.slice(0, at);
    if (kind === 4) return text + pick(ALPHABET).repeat(1 + below(200));
    return text.slice(at) + text.slice(0, at);
  };
  const counts = { none: 0, malformed: 0, credential: 0, accepted: 0 };
  for (let i = 0; i < CASES; i++) {
    const value = random() < 0.05 ? '' : mutate(pick(keys));
    const scheme = random() < 0.8 ? 'Bearer ' : pick(PIECES);
    const names = random() < 0.5 ? ['Authorization', 'X-API-Key'] : ['X-API-Key', 'authorization'];
    const headers = ['Host', 'a', names[0] as string, `${scheme}${value}`];
    if (random() < 0.2) headers.push(pick(names), mutate(value || ' '));
    const presented = extractCredential(headers, 'x-api-key');
    counts[presented.kind] += 1;
    if (
      presented.kind === 'credential' &&
      !keys.includes(presented.value) &&
      isWellFormedKey(presented.value, false)
    )
      counts.accepted += 1;
  }
  expect(counts.accepted).toBe(0);
  expect(counts.none + counts.malformed + counts.credential).toBe(CASES);
  expect(Math.min(counts.none, counts.malformed, counts.credential)).toBeGreaterThan(100);
});
