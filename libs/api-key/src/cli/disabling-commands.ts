import type { Command } from 'commander';
import { disableKey, enableKey } from './changing-commands';
import type { KeysCliHost } from './host';
import { json } from './options';

/** Adds commands `disable` and `enable`. */
export function addDisabling(program: Command, host: KeysCliHost): void {
  program
    .command('disable <id>')
    .description('refuse a key until it is enabled; returns when no instance accepts it any more')
    .option('--reason <text>', 'reason, for the audit trail')
    .addOption(json())
    .action((id, options) => disableKey(host, id, options));
  program
    .command('enable <id>')
    .description('accept a disabled key again, until the expiry that it had')
    .option('--reason <text>', 'reason, for the audit trail')
    .addOption(json())
    .action((id, options) => enableKey(host, id, options));
}
