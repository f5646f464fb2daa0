import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runProgram } from './bin-program';

async function run(...args: string[]) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const code = await runProgram(args, { stdin, stdout, stderr });
  return { code, stdout: await text(stdout.end()), stderr: await text(stderr.end()) };
}

const COMMANDS: readonly [string, string[]][] = [
  ['create', ['--user-id', '1', '--name', 'x', '--scopes', 'a']],
  ['update', ['1', '--name', 'x']],
  ['list', []],
  ['show', ['1']],
  ['events', ['1']],
  ['usage', ['1']],
  ['check', []],
  ['rotate', ['1']],
  ['revoke', ['1']],
  ['disable', ['1']],
  ['enable', ['1']],
  ['prune', []],
  ['import', ['--file', '-']],
  ['rename-scope', ['a', 'b']],
];
const READ_OR_END = ['list', 'show', 'events', 'usage', 'revoke', 'disable', 'prune'];

it('the program lists every command in its help, and needs no application for that', async () => {
  for (const args of [['--help'], ['-h'], ['help'], ['--app', 'none.js', '--help']]) {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: nestjs-api-key \[options\] \[command\]\n/);
    expect(stdout).toMatch(/--app <file> .*--data-source <file> /s);
    for (const [command] of [...COMMANDS, ['help']])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  }
});

it.each(COMMANDS)('the help of %s needs no application and shows --app', async (command) => {
  for (const args of [
    [command, '--help'],
    ['help', command],
  ]) {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: nestjs-api-key ${command} `));
    expect(stdout).toContain('--app <file>');
  }
});

it.each(
  COMMANDS,
)('%s without an application names the missing option and gives an example', async (command, rest) => {
  const { code, stdout, stderr } = await run(command, ...rest);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  const other = READ_OR_END.includes(command) ? ', or --data-source <file> with its data source' : '';
  expect(stderr).toBe(
    `error: give --app <file> with the module of the application${other}. Example: nestjs-api-key ${command} --app dist/app.module.js. Help: nestjs-api-key ${command} --help\n`,
  );
});

it.each(COMMANDS)('%s with a data source runs only if it reads or ends keys', async (command, rest) => {
  const { code, stdout, stderr } = await run('--data-source', '/nowhere.js', command, ...rest);
  expect(stdout).toBe('');
  if (READ_OR_END.includes(command)) {
    expect(stderr).toContain('/nowhere.js');
    expect(code).toBe(1);
  } else {
    expect(stderr).toBe(
      `error: ${command} needs --app <file> instead of --data-source, because it depends on the pepper, prefix, scopes and policy of the application. Example: nestjs-api-key ${command} --app dist/app.module.js. Help: nestjs-api-key ${command} --help\n`,
    );
    expect(code).toBe(2);
  }
});

it.each([
  [
    ['list', '--app', 'a.js', '--data-source', 'b.js'],
    'give --app or --data-source, not both. Example: nestjs-api-key list --app dist/app.module.js. Help: nestjs-api-key list --help',
  ],
  [['list', '--app'], "option '--app <file>' argument missing. Help: nestjs-api-key --help"],
  [['list', '--app', 'a.js', '--bogus'], "unknown option '--bogus'. Help: nestjs-api-key list --help"],
])('%j is refused in one line', async (args, problem) => {
  expect(await run(...args)).toEqual({ code: 2, stdout: '', stderr: `error: ${problem}\n` });
});

it('help of an unknown command is refused in one line that lists the commands', async () => {
  const { code, stdout, stderr } = await run('help', 'crate');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(
    /^error: unknown command 'crate'\. Commands: create, .*, help\. Help: nestjs-api-key --help\n$/,
  );
});
