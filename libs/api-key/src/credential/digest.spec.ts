import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { digestKey, KeyDigests, type Peppers } from './digest';
import { mintKey } from './format';

const RAILS_KEY = '604eae8c3be82e560fd189046e5430eeaf2688eaf3b43a30c26c2d2734f843a0';
const RAILS_DIGEST = 'f07dd293bacf93b005147eefa0a5c75ae34c1b18a0b3770f910d05547c438b0e';

function pepperOf(text: string): KeyObject {
  return createSecretKey(Buffer.from(text));
}

describe('the digest of a key', () => {
  it.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    [
      'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    ],
  ])('of %j equals the test vector of FIPS 180', (text, digest) => {
    expect(digestKey(text)).toBe(digest);
  });

  it('of a Rails key equals the value of its column key_digest', () => {
    expect(digestKey(RAILS_KEY)).toBe(RAILS_DIGEST);
  });

  it.each([
    'checksummed',
    'hex',
  ] as const)('of the %s format is the SHA-256 of the whole key in hex', (format) => {
    const key = mintKey(format, 'acme_live');
    expect(digestKey(key)).toBe(createHash('sha256').update(key).digest('hex'));
  });

  it('is 64 lower-case hex digits', () => {
    expect(digestKey(mintKey('checksummed', 'acme_live'))).toMatch(/^[0-9a-f]{64}$/);
  });

  it('is computed over the UTF-8 bytes of the key', () => {
    expect(digestKey('clé')).toBe(createHash('sha256').update(Buffer.from('clé', 'utf8')).digest('hex'));
  });

  it('is the same each time, and different for another key', () => {
    const key = mintKey('checksummed', 'acme_live');
    expect(digestKey(key)).toBe(digestKey(key));
    expect(digestKey(`${key} `)).not.toBe(digestKey(key));
    expect(digestKey(key.toLowerCase())).not.toBe(digestKey(key));
  });
});

describe('the digest of a key under a pepper', () => {
  it.each([
    [
      '20 bytes',
      Buffer.alloc(20, 0x0b),
      'Hi There',
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    ],
    [
      'four letters',
      Buffer.from('Jefe'),
      'what do ya want for nothing?',
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    ],
    [
      'more bytes than a block of SHA-256',
      Buffer.alloc(131, 0xaa),
      'Test Using Larger Than Block-Size Key - Hash Key First',
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    ],
  ])('of %s equals the test vector of RFC 4231', (_, pepper, text, digest) => {
    expect(digestKey(text, createSecretKey(pepper))).toBe(digest);
  });

  it('is computed over the UTF-8 bytes of the key', () => {
    expect(digestKey('clé', pepperOf('Jefe'))).toBe(
      '661ac5b9e69cee5b7d61e4ef4c9199a2df10ab1fd75126ef5f74e44bad65a25a',
    );
  });
});

describe('the digests of a key', () => {
  // Made with `openssl dgst -sha256 -hmac`, under 32 times the digit 1, 2 or 3.
  const first = pepperOf('1'.repeat(32));
  const second = pepperOf('2'.repeat(32));
  const third = pepperOf('3'.repeat(32));
  const FIRST = '09eb8703daac7aa6d1ad739554365cc0da96c4fda7371915c12cd10fe3110b15';
  const SECOND = '7893292da313d090505092204cb9c9cb392c2ff295afef23fbefbe9d03c3346f';
  const THIRD = 'd19f6004f6f8b746fc94a24348b1b22921f50a86dd1eb4c20c064e79fa9cc56f';

  it.each<[string, Peppers, string, readonly string[]]>([
    ['no pepper', { known: [null], upcoming: null }, RAILS_DIGEST, []],
    ['one pepper', { known: [first], upcoming: null }, FIRST, []],
    ['three peppers', { known: [third, second, first], upcoming: null }, THIRD, [SECOND, FIRST]],
    [
      'a pepper, and keys stored without one',
      { known: [first, null], upcoming: null },
      FIRST,
      [RAILS_DIGEST],
    ],
    ['a pepper and an upcoming one', { known: [second, first], upcoming: third }, SECOND, [THIRD, FIRST]],
    ['an upcoming pepper only', { known: [null], upcoming: first }, RAILS_DIGEST, [FIRST]],
  ])('with %s are the newest, which new keys get, then each other one', (_, peppers, newest, others) => {
    const digests = new KeyDigests(peppers);
    expect(digests.newest(RAILS_KEY)).toBe(newest);
    expect(digests.othersOf(RAILS_KEY)).toEqual(others);
  });

  it('are old under each pepper but the newest, if no pepper is upcoming', () => {
    const digests = new KeyDigests({ known: [second, first, null], upcoming: null });
    expect(digests.isOld(RAILS_KEY, FIRST)).toBe(true);
    expect(digests.isOld(RAILS_KEY, RAILS_DIGEST)).toBe(true);
  });

  it('are not old under the upcoming pepper, so that two instances never rewrite a key in turn', () => {
    const digests = new KeyDigests({ known: [second, first], upcoming: third });
    expect(digests.isOld(RAILS_KEY, THIRD)).toBe(false);
    expect(digests.isOld(RAILS_KEY, FIRST)).toBe(true);
  });
});
