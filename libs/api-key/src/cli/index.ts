import { userInfo } from 'node:os';
import { Command, CommanderError, Option } from 'commander';
import {
  type Acting,
  type ApiKey,
  ApiKeyInputError,
  type ApiKeyService,
  type ApiKeyState,
  type HeldScope,
  type ImportReport,
  type IssuedApiKey,
  type Quota,
  type RateLimit,
} from '../index';
import { openImportFile } from './import-file';
import {
  json,
  parseDays,
  parseEmail,
  parseExpiry,
  parseList,
  parseOverlap,
  parseQuota,
  parseRateLimit,
} from './options';
import { progressOn } from './progress';
import { describeKey, renderKey, renderTable, renderUsage } from './render';

/** What the commands work on, open for one of them. */
export interface KeysSession {
  readonly keys: ApiKeyService;
  /** The owner that an email address stands for; `create` makes it where there is none. Null where it stays unknown. */
  findOwner(email: string, options: { readonly create: boolean }): Promise<string | null>;
  close(): Promise<void>;
}

/** What the application gives the command line. */
export interface KeysCliHost {
  /** Name of the program in its help. Default `keys`. */
  readonly program?: string;
  /** Connects to the keys; called once, and only after the call was understood. */
  open(): Promise<KeysSession>;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** Exit codes: done, failed, called wrongly. */
export type ExitCode = 0 | 1 | 2;

interface Output {
  readonly json?: boolean;
}

interface CreateOptions extends Output {
  readonly user: string;
  readonly name: string;
  readonly scopes: HeldScope[];
  readonly expiresIn?: number;
  readonly rateLimit?: RateLimit;
  readonly quota?: Quota;
  readonly allowIp?: string[];
}

interface ListOptions extends Output {
  readonly user?: string;
  readonly state?: ApiKeyState;
}

interface PruneOptions extends Output {
  readonly olderThan: number;
  readonly eventsOlderThan: number;
}

/** What a person types for a default, and what it is. */
const OVERLAP = { text: '24h', seconds: 86_400 };
const PRUNE_KEYS = { text: '90d', days: 90 };
const PRUNE_EVENTS = { text: '365d', days: 365 };
const STATES: ApiKeyState[] = ['active', 'expired', 'revoked'];
const SHOWN_ONCE = 'The key is shown this once; keep it safe.';

/** A command that cannot be carried out, in words for a person. */
class CommandFailed extends Error {}

/** A command that was called wrongly, which shows only when it is carried out. */
class WrongCall extends Error {}

/**
 * Runs one command. Never throws; what goes wrong is one line on stderr.
 * @param args the arguments after the program's name
 */
export async function runKeysCli(args: readonly string[], host: KeysCliHost): Promise<ExitCode> {
  try {
    await programFor(host).parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    host.stderr.write(`${oneLine(error)}\n`);
    return error instanceof ApiKeyInputError || error instanceof WrongCall ? 2 : 1;
  }
}

function programFor(host: KeysCliHost): Command {
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
      'error: name a command: create, list, show, usage, rotate, revoke, prune or import; --help tells more',
    ),
  );
  addCommands(program, host);
  program.allowExcessArguments(true);
  return program;
}

function addCommands(program: Command, host: KeysCliHost): void {
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
    .action((options: CreateOptions) => inSession(host, (session) => create(session, options, host)));
  addReading(program, host);
  addEnding(program, host);
  addMany(program, host);
}

function addReading(program: Command, host: KeysCliHost): void {
  program
    .command('list')
    .description('list keys, newest first')
    .option('--user <email>', 'only those of one user (default: all)')
    .addOption(new Option('--state <state>', 'only those in one state (default: all)').choices(STATES))
    .addOption(json())
    .action((options: ListOptions) => inSession(host, (session) => list(session, options, host)));
  program
    .command('show <id>')
    .description('show one key')
    .addOption(json())
    .action((id: string, options: Output) =>
      inSession(host, async ({ keys }) => answer(await keys.get(id), id, options, host)),
    );
  program
    .command('usage <id>')
    .description('show how much a key is used, by day and by hour of UTC, and what is left of its quota')
    .addOption(json())
    .action((id: string, options: Output) => inSession(host, ({ keys }) => usage(keys, id, options, host)));
}

function addEnding(program: Command, host: KeysCliHost): void {
  program
    .command('rotate <id>')
    .description('issue the successor of a key; it is shown this once')
    .addOption(
      new Option('--overlap <duration>', 'how long the old key still works, 0 to 30d')
        .argParser(parseOverlap)
        .default(OVERLAP.seconds, OVERLAP.text),
    )
    .addOption(json())
    .action((id: string, options: Output & { overlap: number }) =>
      inSession(host, ({ keys }) => rotate(keys, id, options, host)),
    );
  program
    .command('revoke <id>')
    .description('end a key for good; answers once no instance accepts it any more (revoke everywhere)')
    .option('--reason <text>', 'why, for the trail')
    .addOption(json())
    .action((id: string, options: Output & { reason?: string }) =>
      inSession(host, async ({ keys }) => {
        const { reason } = options;
        const revoked = await keys.revoke(
          id,
          { everywhere: true, ...(reason !== undefined && { reason }) },
          acting(),
        );
        answer(revoked, id, options, host);
      }),
    );
}

function addMany(program: Command, host: KeysCliHost): void {
  program
    .command('prune')
    .description('remove keys that ended long ago, and old events of the trail')
    .addOption(
      new Option('--older-than <days>', 'keys that expired or were revoked so long ago')
        .argParser(parseDays)
        .default(PRUNE_KEYS.days, PRUNE_KEYS.text),
    )
    .addOption(
      new Option('--events-older-than <days>', 'events so old')
        .argParser(parseDays)
        .default(PRUNE_EVENTS.days, PRUNE_EVENTS.text),
    )
    .addOption(json())
    .action((options: PruneOptions) => inSession(host, ({ keys }) => prune(keys, options, host)));
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
    .action((options: Output & { file: string }) => importKeys(options, host));
}

async function create(session: KeysSession, options: CreateOptions, host: KeysCliHost): Promise<void> {
  const { user, name, scopes, expiresIn, rateLimit = null, quota = null, allowIp = null } = options;
  const now = new Date();
  const expiresAt = expiresIn === undefined ? null : new Date(now.getTime() + expiresIn);
  const fields = { name, scopes, expiresAt, rateLimit, quota, allowedIps: allowIp };
  session.keys.check(fields);
  const userId = await session.findOwner(user, { create: true });
  if (userId === null) throw new CommandFailed(`There is no user ${user}.`);
  writeIssued(await session.keys.create({ userId, ...fields }, acting()), options, host);
}

async function rotate(
  keys: ApiKeyService,
  id: string,
  options: Output & { overlap: number },
  host: KeysCliHost,
): Promise<void> {
  const issued = await keys.rotate(id, { overlapSeconds: options.overlap }, acting());
  if (!issued) throw new CommandFailed(`There is no key ${id}.`);
  writeIssued(issued, options, host);
}

async function usage(keys: ApiKeyService, id: string, options: Output, host: KeysCliHost): Promise<void> {
  const used = await keys.usage(id);
  if (!used) throw new CommandFailed(`There is no key ${id}.`);
  write(host, options, used, () => renderUsage(used));
}

async function prune(keys: ApiKeyService, options: PruneOptions, host: KeysCliHost): Promise<void> {
  const progress = progressOn(host.stderr, 0, 'removed');
  const removed = await keys
    .prune(
      {
        olderThanDays: options.olderThan,
        eventsOlderThanDays: options.eventsOlderThan,
        onProgress: ({ keys: gone, events }) => progress.update(gone + events),
      },
      acting(),
    )
    .finally(() => progress.stop());
  write(host, options, removed, () => `Removed ${removed.keys} keys and ${removed.events} events.`);
}

async function importKeys(options: Output & { file: string }, host: KeysCliHost): Promise<void> {
  const file = await openImportFile(options.file).catch((error: NodeJS.ErrnoException) => {
    throw new WrongCall(`error: the file ${options.file} cannot be read (${error.code ?? error.message})`);
  });
  await inSession(host, async ({ keys }) => {
    const progress = progressOn(host.stderr, file.size, 'the file');
    const report = await keys
      .import(file.lines, { onProgress: () => progress.update(file.bytesRead()) }, acting())
      .finally(() => progress.stop());
    writeReport(report, options, host);
  });
}

function writeReport(report: ImportReport, options: Output, host: KeysCliHost): void {
  const { lines, imported, problems } = report;
  write(host, options, report, () => `Imported ${imported} of ${lines} keys.`);
  for (const { line, problem } of problems) host.stderr.write(`line ${line}: ${problem}\n`);
  if (imported < lines)
    throw new CommandFailed(`${lines - imported} lines were not imported: their batches were rolled back.`);
}

async function list(session: KeysSession, options: ListOptions, host: KeysCliHost): Promise<void> {
  const userId =
    options.user === undefined ? undefined : await session.findOwner(options.user, { create: false });
  if (userId === null) throw new CommandFailed(`There is no user ${options.user}.`);
  const now = new Date();
  const described = (await everyKey(session.keys, userId, options.state)).map((apiKey) =>
    describeKey(apiKey, now),
  );
  write(host, options, described, () => renderTable(described));
}

async function everyKey(
  keys: ApiKeyService,
  userId: string | undefined,
  state: ApiKeyState | undefined,
): Promise<ApiKey[]> {
  const found: ApiKey[] = [];
  let cursor: string | null = null;
  do {
    const page = await keys.list({
      ...(userId !== undefined && { userId }),
      ...(state && { state }),
      limit: 100,
      cursor,
    });
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}

function answer(apiKey: ApiKey | null, id: string, options: Output, host: KeysCliHost): void {
  if (!apiKey) throw new CommandFailed(`There is no key ${id}.`);
  const described = describeKey(apiKey, new Date());
  write(host, options, described, () => renderKey(described));
}

function write(host: KeysCliHost, { json: asJson }: Output, value: unknown, render: () => string): void {
  host.stdout.write(`${asJson ? JSON.stringify(value, null, 2) : render()}\n`);
}

async function inSession(host: KeysCliHost, command: (session: KeysSession) => Promise<void>): Promise<void> {
  const session = await host.open();
  try {
    await command(session);
  } finally {
    await session.close();
  }
}

function writeIssued({ key, apiKey }: IssuedApiKey, options: Output, host: KeysCliHost): void {
  const described = { ...describeKey(apiKey, new Date()), key };
  write(host, options, described, () => `${renderKey(described)}\n\n${SHOWN_ONCE}`);
}

/** Who the trail names: the account of the operating system. */
function acting(): Acting {
  return { actor: { type: 'cli', id: accountName() } };
}

function accountName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, ' ');
}
