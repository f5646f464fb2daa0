import { type Headers, judgeMalformed } from '../../../../test/support/malformed-credentials';
import { extractCredential } from './extract';
import { isWellFormedKey, mintKey } from './format';

const CASES = 1_000_000;

it('a million malformed credentials are refused without I/O, and nothing is thrown', () => {
  const keys = ['acme_live', 'key', 'a'].map((prefix) => mintKey('checksummed', prefix));
  const { misjudged, counts } = judgeMalformed(keys, CASES, {
    lookedUp(headers: Headers) {
      const presented = extractCredential(headers, 'x-api-key');
      const isKey = presented.kind === 'credential' && isWellFormedKey(presented.value, false);
      return isKey ? presented.value : null;
    },
    kindOf: (headers: Headers) => extractCredential(headers, 'x-api-key').kind,
  });
  expect(misjudged.slice(0, 3)).toEqual([]);
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(CASES / 1_000);
});
