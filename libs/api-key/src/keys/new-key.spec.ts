import { inspect } from 'node:util';
import { instanceToPlain } from 'class-transformer';
import { digestKey } from '../credential/digest';
import { mintKey } from '../credential/format';
import { ApiKey } from '../model/api-key.entity';
import { IssuedApiKey } from './new-key';

const key = mintKey('checksummed', 'acme_live');
const apiKey = Object.assign(new ApiKey(), {
  id: '1',
  keyDigest: digestKey(key),
  keyPrefix: 'acme_live_aaaa',
});
const issued = new IssuedApiKey(key, apiKey);

it('a new key is returned under its field name', () => {
  const { key: raw, apiKey: row } = issued;
  expect([raw, row]).toEqual([key, apiKey]);
  expect(apiKey.keyDigest).toBe(digestKey(key));
});

it.each<[string, (value: object) => unknown]>([
  ['JSON', (value) => JSON.stringify(value)],
  ['a log', (value) => inspect(value, { depth: null })],
  ['a log of hidden fields', (value) => inspect(value, { depth: null, showHidden: true })],
  ['a log that reads getters', (value) => inspect(value, { depth: null, showHidden: true, getters: true })],
  ['console.log with %o', (value) => inspect(value, { showHidden: true, showProxy: true })],
  ['text', (value) => `${String(value)} ${value}`],
  ['a copy', (value) => JSON.stringify({ ...value })],
  [
    'a list of its fields',
    (value) => JSON.stringify(Object.entries(Object.getOwnPropertyDescriptors(value))),
  ],
  ['a structured clone', (value) => JSON.stringify(structuredClone(value))],
  ['an answer by class-transformer', (value) => JSON.stringify(instanceToPlain(value))],
  ['an error', (value) => inspect(new Error('failed', { cause: value }), { depth: null })],
])('%s contains neither the key nor its digest', (_, written) => {
  for (const value of [issued, apiKey, [issued], { issued }, new Map([['issued', issued]])]) {
    const text = String(written(value));
    expect(text).not.toContain(key.slice(-20));
    expect(text).not.toContain(digestKey(key));
  }
});

it('a log shows the class names of key and digest at any depth', () => {
  expect(inspect(issued)).toMatch(/^IssuedApiKey \{\s+apiKey: ApiKey \{[^}]*keyPrefix: 'acme_live_aaaa'/);
  expect(inspect([[issued]])).toContain('apiKey: [ApiKey]');
});
