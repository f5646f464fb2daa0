import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type ApiKey, ApiKeyInputError, type ApiKeyService, type HeldScope } from '../index';
import { parseDuration } from './duration';
import { describeKey, renderKey, renderTable } from './render';

/** What the commands work on, open for one of them. */
export interface KeysSession {
  readonly keys: ApiKeyService;
  /** The owner that an email address stands for; `create` makes it where there is none. Null where it stays unknown. */
  findOwner(email: string, options: { readonly create: boolean }): Promise<string | null>;
  close(): Promise<void>;
}

/** What the application gives the command line. */
export interface KeysCliHost {
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
}

/** A command that cannot be carried out, in words for a person. */
class CommandFailed extends Error {}

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
    return error instanceof ApiKeyInputError ? 2 : 1;
  }
}

function programFor(host: KeysCliHost): Command {
  const program = new Command('keys')
    .description('Issue, see and revoke API keys.')
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
    });
  program.action(() =>
    program.error('error: name a command: create, list, show or revoke; --help tells more'),
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
    .addOption(json())
    .action((options: CreateOptions) => inSession(host, (session) => create(session, options, host)));
  program
    .command('list')
    .description('list keys, newest first')
    .option('--user <email>', 'only those of one user (default: all)')
    .addOption(json())
    .action((options: Output & { user?: string }) =>
      inSession(host, (session) => list(session, options, host)),
    );
  program
    .command('show <id>')
    .description('show one key')
    .addOption(json())
    .action((id: string, options: Output) =>
      inSession(host, async ({ keys }) => answer(await keys.get(id), id, options, host)),
    );
  program
    .command('revoke <id>')
    .description('end a key for good')
    .addOption(json())
    .action((id: string, options: Output) =>
      inSession(host, async ({ keys }) => answer(await keys.revoke(id), id, options, host)),
    );
}

async function create(session: KeysSession, options: CreateOptions, host: KeysCliHost): Promise<void> {
  const { user, name, scopes, expiresIn } = options;
  const now = new Date();
  const expiresAt = expiresIn === undefined ? null : new Date(now.getTime() + expiresIn);
  session.keys.check({ name, scopes, expiresAt });
  const userId = await session.findOwner(user, { create: true });
  if (userId === null) throw new CommandFailed(`There is no user ${user}.`);
  const { key, apiKey } = await session.keys.create({ userId, name, scopes, expiresAt });
  const described = { ...describeKey(apiKey, now), key };
  write(
    host,
    options,
    described,
    () => `${renderKey(described)}\n\nThe key is shown this once; keep it safe.`,
  );
}

async function list(
  session: KeysSession,
  options: Output & { user?: string },
  host: KeysCliHost,
): Promise<void> {
  const userId =
    options.user === undefined ? undefined : await session.findOwner(options.user, { create: false });
  if (userId === null) throw new CommandFailed(`There is no user ${options.user}.`);
  const now = new Date();
  const described = (await everyKey(session.keys, userId)).map((apiKey) => describeKey(apiKey, now));
  write(host, options, described, () => renderTable(described));
}

async function everyKey(keys: ApiKeyService, userId: string | undefined): Promise<ApiKey[]> {
  const found: ApiKey[] = [];
  let cursor: string | null = null;
  do {
    const page = await keys.list({ ...(userId !== undefined && { userId }), limit: 100, cursor });
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

function json(): Option {
  return new Option('--json', 'print one JSON document and nothing else');
}

function parseList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

function parseEmail(text: string): string {
  if (!/^[^\s@]+@[^\s@]+$/.test(text)) throw new InvalidArgumentError('Give an email address.');
  return text;
}

function parseExpiry(text: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new InvalidArgumentError('Give a whole number of s, m, h, d or w, up to 100 years, as 90d.');
  return ms;
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, ' ');
}
