import type { Command } from 'commander';
import { type RenameScopeReport, redactApiKeys } from '../index';
import type { KeysCliHost } from './host';
import { acting, inSession } from './in-session';
import { json } from './options';
import { type Output, write } from './output';
import { progressOn } from './progress';

/** Adds command `rename-scope`. */
export function addRenameScope(program: Command, host: KeysCliHost): void {
  program
    .command('rename-scope <old> <new>')
    .description('replace a scope by another one in all keys; wildcards stay; if it fails, run it again')
    .addOption(json())
    .action((from, to, options) => renameScope(host, from, to, options));
}

/** Masks the scopes in the output, because a key may have been given instead by mistake. */
function renameScope(host: KeysCliHost, from: string, to: string, output: Output): Promise<void> {
  return inSession(host, async ({ keys }) => {
    const progress = progressOn(host.stderr, 0, 'rows read');
    const report = await keys
      .renameScope(from, to, { onProgress: ({ read }) => progress.update(read) }, acting())
      .finally(() => progress.stop());
    const [shownFrom, shownTo] = [from, to].map(redactApiKeys) as [string, string];
    const shown = { from: shownFrom, to: shownTo, ...report };
    write(host, output, shown, () => renamedWords(shownFrom, shownTo, report));
  });
}

function renamedWords(from: string, to: string, { keys, losing }: RenameScopeReport): string {
  const renamed = keys === 0 ? `No key has ${from}.` : `Keys with ${to} instead of ${from}: ${keys}.`;
  if (losing === 0) return renamed;
  return `${renamed}\nKeys that have ${from} only through a wildcard, and lack ${to}: ${losing}. They are unchanged.`;
}
