import { Command, Option } from 'commander';
import { API_KEY_DEFAULTS, API_KEY_STATES } from '../index';
import { createKey, importKeys, pruneKeys, revoke, rotateKey, updateKey } from './changing-commands';
import { addCheck } from './check-command';
import { addDisabling } from './disabling-commands';
import { errorLine, helpOf } from './failures';
import { addHelp, wrongCommand } from './help-command';
import type { KeysCliHost } from './host';
import {
  json,
  orNone,
  parseDays,
  parseEmail,
  parseExpiry,
  parseList,
  parseOverlap,
  parseQuota,
  parseRateLimit,
  userIdOption,
} from './options';
import { listKeys, showEvents, showKey, showUsage } from './reading-commands';
import { addRenameScope } from './rename-scope-command';

const { overlapSeconds, pruneKeysDays, pruneEventsDays } = API_KEY_DEFAULTS;

/**
 * Defines the commands and their options.
 * @param define defines options that all commands take
 */
export function programFor(host: KeysCliHost, define: (program: Command) => void): Command {
  const program = new Command(host.program ?? 'keys')
    .description('Create, show, rotate, disable, revoke and import API keys.')
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
    });
  define(program);
  addCreate(program, host);
  addUpdate(program, host);
  addReading(program, host);
  addEnding(program, host);
  addDisabling(program, host);
  addMany(program, host);
  addHelp(program);
  for (const command of program.commands) writeOneLine(command, helpOf(host, command.name()));
  writeOneLine(program, helpOf(host));
  program
    .allowExcessArguments()
    .allowUnknownOption()
    .action(() => program.error(wrongCommand(program, program.args[0])));
  return program;
}

/** Ends each error with the place of the help. */
function writeOneLine(command: Command, help: string): void {
  command.configureOutput({ outputError: (text, write) => write(errorLine(help, text)) });
}

function addCreate(program: Command, host: KeysCliHost): void {
  program
    .command('create')
    .description('create a key; the key is shown only once')
    .addOption(new Option('--user <email>', 'email address of the owner').argParser(parseEmail))
    .addOption(userIdOption('id of the owner; instead of --user'))
    .requiredOption('--name <name>', 'name of the key, for people')
    .addOption(
      new Option('--scopes <a,b>', 'comma-separated scopes; orders:* and * are wildcards')
        .argParser(parseList)
        .makeOptionMandatory(),
    )
    .addOption(expiryOfNew())
    .addOption(
      new Option(
        '--rate-limit <limit>',
        'requests per window, such as 100/60s (default: the limit of the app)',
      ).argParser(parseRateLimit),
    )
    .addOption(
      new Option(
        '--quota <quota>',
        'requests per day or month in UTC, such as 10000/day (default: none)',
      ).argParser(parseQuota),
    )
    .addOption(
      new Option(
        '--allow-ip <cidr,...>',
        'IP addresses and CIDR blocks that may use the key (default: all)',
      ).argParser(parseList),
    )
    .option('--environment <name>', 'environment of the key, if the app has several, such as live')
    .addOption(json())
    .action((options) => createKey(host, options));
}

function expiryOfNew(): Option {
  return new Option(
    '--expires-in <duration>',
    'time until the key expires, such as 12h, 90d or 52w; or: never (default: as the policy of the app says, else never)',
  ).argParser(orNone('never', parseExpiry));
}

function addUpdate(program: Command, host: KeysCliHost): void {
  program
    .command('update <id>')
    .description('change a key; a field without an option stays unchanged')
    .option('--name <name>', 'name of the key, for people')
    .addOption(
      new Option('--scopes <a,b>', 'comma-separated scopes; replaces all scopes of the key').argParser(
        parseList,
      ),
    )
    .addOption(
      new Option(
        '--expires-in <duration>',
        'time until the key expires, such as 12h or 90d; or: never',
      ).argParser(orNone('never', parseExpiry)),
    )
    .addOption(
      new Option(
        '--rate-limit <limit>',
        'requests per window, such as 100/60s; or: default, the limit of the app',
      ).argParser(orNone('default', parseRateLimit)),
    )
    .addOption(
      new Option(
        '--quota <quota>',
        'requests per day or month in UTC, such as 10000/day; or: none',
      ).argParser(orNone('none', parseQuota)),
    )
    .addOption(
      new Option(
        '--allow-ip <cidr,...>',
        'IP addresses and CIDR blocks that may use the key; or: everywhere',
      ).argParser(orNone('everywhere', parseList)),
    )
    .addOption(json())
    .action((id, options) => updateKey(host, id, options));
}

function addReading(program: Command, host: KeysCliHost): void {
  program
    .command('list')
    .description('list keys, newest first')
    .option('--user <email>', 'only keys of this user (default: all users)')
    .addOption(userIdOption('only keys of the owner with this id'))
    .option(
      '--search <text>',
      'only keys with this text in the name, at the visible start, or as masked form',
    )
    .addOption(
      new Option('--state <state>', 'only keys in this state (default: all states)').choices(API_KEY_STATES),
    )
    .addOption(json())
    .action((options) => listKeys(host, options));
  program
    .command('show <id>')
    .description('show one key')
    .addOption(json())
    .action((id, options) => showKey(host, id, options));
  program
    .command('events <id>')
    .description('show the audit events of a key, newest first, also after the key was deleted')
    .addOption(json())
    .action((id, options) => showEvents(host, id, options));
  program
    .command('usage <id>')
    .description('show the requests of a key per day and per hour in UTC, and its quota')
    .addOption(json())
    .action((id, options) => showUsage(host, id, options));
  addCheck(program, host);
}

function addEnding(program: Command, host: KeysCliHost): void {
  program
    .command('rotate <id>')
    .description('create the successor of a key; the new key is shown only once')
    .addOption(
      new Option('--overlap <duration>', 'how long the old key is still accepted, 0 to 30d')
        .argParser(parseOverlap)
        .default(overlapSeconds, `${overlapSeconds / 3_600}h`),
    )
    .addOption(json())
    .action((id, options) => rotateKey(host, id, options));
  program
    .command('revoke [id]')
    .description(
      'revoke a key, or all keys of a user; returns when no instance accepts them any more (revoke everywhere)',
    )
    .option('--user <email>', 'revoke all keys of this user instead of one key')
    .addOption(userIdOption('revoke all keys of the owner with this id instead of one key'))
    .option('--descendants', 'also revoke all keys that this key created, and its successors')
    .option('--reason <text>', 'reason, for the audit trail')
    .addOption(json())
    .action((id, options) => revoke(host, id, options));
}

function addMany(program: Command, host: KeysCliHost): void {
  program
    .command('prune')
    .description('delete keys that ended long ago, and old audit events')
    .addOption(
      new Option('--older-than <days>', 'delete keys that expired or were revoked at least this long ago')
        .argParser(parseDays)
        .default(pruneKeysDays, `${pruneKeysDays}d`),
    )
    .addOption(
      new Option('--events-older-than <days>', 'delete audit events that are at least this old')
        .argParser(parseDays)
        .default(pruneEventsDays, `${pruneEventsDays}d`),
    )
    .addOption(json())
    .action((options) => pruneKeys(host, options));
  program
    .command('import')
    .description(
      'import keys of another system by their digests; a batch of 1,000 lines is stored as a whole or not at all',
    )
    .requiredOption(
      '--file <file>',
      'one JSON object per line: userId, name, keyDigest, keyPrefix, scopes, expiresAt; - is stdin',
    )
    .addOption(json())
    .action((options) => importKeys(host, options));
  addRenameScope(program, host);
}
