import { keysOf } from './stored-key';

it('two rows of one digest are an error, because they can contradict each other', () => {
  const row = { key_digest: 'a', expiry_type: '0' };
  expect(keysOf([row, row]).get('a')).toMatchObject({
    code: 'UNREADABLE_VALUE',
    message: expect.stringContaining('key_digest'),
  });
});

it('a row whose expiry has no time zone any more is an error, because its time depends on a zone', () => {
  const TIMESTAMP = '1114';
  expect(keysOf([{ key_digest: 'a', expiry_type: TIMESTAMP }]).get('a')).toMatchObject({
    code: 'UNREADABLE_VALUE',
    message: expect.stringContaining('a timestamptz any more: ALTER it to that'),
  });
});
