import { Command, Option } from 'commander';
import { API_KEY_DEFAULTS, API_KEY_STATES } from '../index';
import { createKey, importKeys, pruneKeys, revoke, rotateKey, updateKey } from './changing-commands';
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
} from './options';
import { listKeys, showEvents, showKey, showUsage } from './reading-commands';

const { overlapSeconds, pruneKeysDays, pruneEventsDays } = API_KEY_DEFAULTS;

/** Defines the commands and their options. */
export function programFor(host: KeysCliHost): Command {
  const program = new Command(host.program ?? 'keys')
    .description('Issue, see, rotate, revoke and import API keys.')
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
    });
  program.action(() =>
    program.error(
      'error: name a command: create, list, show, usage, events, update, rotate, revoke, prune or import; --help tells more',
    ),
  );
  addCreate(program, host);
  addUpdate(program, host);
  addReading(program, host);
  addEnding(program, host);
  addMany(program, host);
  program.allowExcessArguments(true);
  return program;
}

function addCreate(program: Command, host: KeysCliHost): void {
  program
    .command('create')
    .description('issue a key; it is shown this once')
    .addOption(new Option('--user <email>', 'whose key it is').argParser(parseEmail).makeOptionMandatory())
    .requiredOption('--name <name>', 'what people call it')
    .addOption(
      new Option('--scopes <a,b>', 'what it may do; orders:* and * are wildcards')
        .argParser(parseList)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--expires-in <duration>', 'when it ends, as 12h, 90d or 52w (default: never)').argParser(
        parseExpiry,
      ),
    )
    .addOption(
      new Option(
        '--rate-limit <limit>',
        'requests a window, as 100/60s (default: that of the app)',
      ).argParser(parseRateLimit),
    )
    .addOption(
      new Option(
        '--quota <quota>',
        'requests a day or month of UTC, as 10000/day (default: any number)',
      ).argParser(parseQuota),
    )
    .addOption(
      new Option(
        '--allow-ip <cidr,...>',
        'addresses and blocks it works from (default: everywhere)',
      ).argParser(parseList),
    )
    .addOption(json())
    .action((options) => createKey(host, options));
}

function addUpdate(program: Command, host: KeysCliHost): void {
  program
    .command('update <id>')
    .description('change a key; what is left out stays as it is')
    .option('--name <name>', 'what people call it')
    .addOption(new Option('--scopes <a,b>', 'what it may do').argParser(parseList))
    .addOption(
      new Option('--expires-in <duration>', 'when it ends, as 12h, 90d or never').argParser(
        orNone('never', parseExpiry),
      ),
    )
    .addOption(
      new Option('--rate-limit <limit>', 'requests a window, as 100/60s; default takes it away').argParser(
        orNone('default', parseRateLimit),
      ),
    )
    .addOption(
      new Option('--quota <quota>', 'requests a day or month, as 10000/day; none takes it away').argParser(
        orNone('none', parseQuota),
      ),
    )
    .addOption(
      new Option('--allow-ip <cidr,...>', 'addresses and blocks it works from; everywhere for all').argParser(
        orNone('everywhere', parseList),
      ),
    )
    .addOption(json())
    .action((id, options) => updateKey(host, id, options));
}

function addReading(program: Command, host: KeysCliHost): void {
  program
    .command('list')
    .description('list keys, newest first')
    .option('--user <email>', 'only those of one user (default: all)')
    .addOption(
      new Option('--state <state>', 'only those in one state (default: all)').choices(API_KEY_STATES),
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
    .description('show what happened to a key, newest first, also after it is gone')
    .addOption(json())
    .action((id, options) => showEvents(host, id, options));
  program
    .command('usage <id>')
    .description('show how much a key is used, by day and by hour of UTC, and what is left of its quota')
    .addOption(json())
    .action((id, options) => showUsage(host, id, options));
}

function addEnding(program: Command, host: KeysCliHost): void {
  program
    .command('rotate <id>')
    .description('issue the successor of a key; it is shown this once')
    .addOption(
      new Option('--overlap <duration>', 'how long the old key still works, 0 to 30d')
        .argParser(parseOverlap)
        .default(overlapSeconds, `${overlapSeconds / 3_600}h`),
    )
    .addOption(json())
    .action((id, options) => rotateKey(host, id, options));
  program
    .command('revoke [id]')
    .description(
      'end a key, or all keys of a user, for good; answers once no instance accepts it any more (revoke everywhere)',
    )
    .option('--user <email>', 'all keys of a user instead of one key')
    .option('--descendants', 'with the key all that it made or was rotated to')
    .option('--reason <text>', 'why, for the trail')
    .addOption(json())
    .action((id, options) => revoke(host, id, options));
}

function addMany(program: Command, host: KeysCliHost): void {
  program
    .command('prune')
    .description('remove keys that ended long ago, and old events of the trail')
    .addOption(
      new Option('--older-than <days>', 'keys that expired or were revoked so long ago')
        .argParser(parseDays)
        .default(pruneKeysDays, `${pruneKeysDays}d`),
    )
    .addOption(
      new Option('--events-older-than <days>', 'events so old')
        .argParser(parseDays)
        .default(pruneEventsDays, `${pruneEventsDays}d`),
    )
    .addOption(json())
    .action((options) => pruneKeys(host, options));
  program
    .command('import')
    .description(
      'take over keys of another system by their digests; each batch of 1,000 lines all or nothing',
    )
    .requiredOption(
      '--file <file>',
      'lines of JSON with userId, name, keyDigest, keyPrefix, scopes, expiresAt; - is stdin',
    )
    .addOption(json())
    .action((options) => importKeys(host, options));
}
