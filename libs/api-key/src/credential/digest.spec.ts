import { createHash } from 'node:crypto';
import { digestKey } from './digest';
import { mintKey } from './format';

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
    expect(digestKey('604eae8c3be82e560fd189046e5430eeaf2688eaf3b43a30c26c2d2734f843a0')).toBe(
      'f07dd293bacf93b005147eefa0a5c75ae34c1b18a0b3770f910d05547c438b0e',
    );
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
