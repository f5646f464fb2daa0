import { despiteFullQueue } from './full-queue';
import type { Session } from './session';

const fullQueue = Object.assign(new Error('too many notifications in the NOTIFY queue'), { code: '54000' });

/** Makes a change whose first transactions fail. Returns what its last transaction ran. */
async function statementsOf(...failures: Error[]): Promise<string[]> {
  let statements: string[] = [];
  const session = { run: async (text: string) => statements.push(text) } as unknown as Session;
  await despiteFullQueue(
    async (work) => {
      statements = [];
      const result = await work(session);
      const failure = failures.shift();
      if (failure) throw failure;
      return result;
    },
    (own) => own.run('UPDATE'),
  );
  return statements;
}

it('a change that the notification queue has no room for is made again without notifications', async () => {
  expect(await statementsOf(fullQueue)).toEqual([`SET LOCAL nestjs_api_key.silent = 'on'`, 'UPDATE']);
});

it('a change with notifications is made once', async () => {
  expect(await statementsOf()).toEqual(['UPDATE']);
});

it('any other error of a change is thrown, and so is that of the second attempt', async () => {
  const other = new Error('other');
  await expect(statementsOf(other)).rejects.toBe(other);
  await expect(statementsOf(fullQueue, other)).rejects.toBe(other);
});
