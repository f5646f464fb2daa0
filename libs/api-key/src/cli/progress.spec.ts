import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { progressOn } from './progress';

it('a terminal shows how much is done, if nobody knows how much there is', async () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
  const progress = progressOn(terminal, 0, 'keys');
  progress.update(1_000);
  progress.stop();
  expect(await text(terminal.end())).toContain('0 keys, ');
});

it('a file gets no progress', async () => {
  const file = new PassThrough();
  const progress = progressOn(file, 10, 'keys');
  progress.update(5);
  progress.stop();
  expect(await text(file.end())).toBe('');
});
