import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { writeRevocation } from './output';

it('a revocation whose other keys could not be counted says so, and how to revoke them', async () => {
  const stdout = new PassThrough();
  const host = { open: jest.fn(), stdout, stderr: new PassThrough() };
  writeRevocation(host, {}, '7', { apiKey: null, descendants: [], liveDescendants: null } as never);
  expect(await text(stdout.end())).toBe(
    'The row of key 7 was deleted.\n\nThe keys that this key created could not be counted. To revoke them too: revoke 7 --descendants\n',
  );
});
